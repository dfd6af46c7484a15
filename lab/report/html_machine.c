/* SPDX-License-Identifier: MIT */
/* The machine and the subjects, and what of the machine disturbs measurements. */
#include "html.h"

#include "../disturb.h"

static const char *const classes[LAB_DISTURB_LEVELS] = {
    [LAB_DISTURB_MUCH] = "bad",
    [LAB_DISTURB_SOME] = "some",
    [LAB_DISTURB_UNKNOWN] = "undecided",
    [LAB_DISTURB_NOT] = "good",
};

void html_disturbed(FILE *f, const struct lab_run *run) {
    size_t count;
    struct lab_disturbance *list = lab_disturbances(run, &count);
    if (count > 0 && list[0].level == LAB_DISTURB_MUCH) {
        fputs("<p class=\"warning\">The machine was disturbed: ", f);
        for (size_t i = 0; i < count && list[i].level == LAB_DISTURB_MUCH; i++) {
            html_printf(f, "%s%s (%s)", i ? ", " : "", list[i].fact, list[i].value);
        }
        fputs(". <a href=\"#machine\">What that does</a></p>\n", f);
    }
    lab_disturbances_free(list, count);
}

static void disturbances(FILE *f, const struct lab_run *run) {
    size_t count;
    struct lab_disturbance *list = lab_disturbances(run, &count);
    if (count > 0) {
        fputs("<h3>What disturbs measurements here</h3>\n<div class=\"scroll\">"
              "<table class=\"plain disturb\"><tbody>\n", f);
    }
    for (size_t i = 0; i < count; i++) {
        const struct lab_disturbance *d = &list[i];
        html_printf(f, "<tr><th scope=\"row\">%s<small>%s</small></th>", d->fact, d->value);
        html_printf(f, "<td><span class=\"verdict %s\">%s</span></td><td>%s", classes[d->level],
                    lab_disturb_word(d->level), d->effect);
        if (d->remedy) html_printf(f, "<small>\xe2\x86\x92 %s</small>", d->remedy);
        fputs("</td></tr>\n", f);
    }
    if (count > 0) {
        fputs("</tbody></table></div>\n", f);
        html_repeat(f, "heddle machine");
    }
    lab_disturbances_free(list, count);
}

static void facts(FILE *f, const struct lab_run *run) {
    fputs("<details><summary>All that the record says of it</summary>\n"
          "<div class=\"scroll\"><table class=\"plain\"><tbody>\n", f);
    for (size_t i = 0; i < run->machine_count; i++) {
        html_printf(f, "<tr><th scope=\"row\">%s</th><td>%s</td></tr>\n", run->machine[i].key,
                    run->machine[i].value);
    }
    fputs("</tbody></table></div></details>\n", f);
}

static void subjects(FILE *f, const struct lab_run *run) {
    fputs("<h3>The subjects</h3>\n<div class=\"scroll\"><table class=\"plain\">\n<thead><tr>"
          "<th scope=\"col\">subject</th><th scope=\"col\">kind</th><th scope=\"col\">version</th>"
          "<th scope=\"col\">program</th></tr></thead>\n<tbody>\n", f);
    for (size_t i = 0; i < run->subject_count; i++) {
        const struct lab_subject_info *s = &run->subjects[i];
        html_printf(f, "<tr><th scope=\"row\"><span class=\"key %s\"></span>%s</th><td>%s%s</td>",
                    html_kind(run, s->name), s->name, s->kind,
                    s->free_threaded ? ", free-threaded" : "");
        html_printf(f, "<td>%s</td><td><code>%s</code></td></tr>\n", s->version, s->path);
    }
    fputs("</tbody></table></div>\n", f);
}

void html_machine_facts(FILE *f, const struct lab_run *run) {
    disturbances(f, run);
    facts(f, run);
}

void html_machine(FILE *f, const struct lab_run *run) {
    fputs("<section id=\"machine\">\n<h2>The machine and the subjects</h2>\n", f);
    html_machine_facts(f, run);
    subjects(f, run);
    fputs("</section>\n", f);
}
