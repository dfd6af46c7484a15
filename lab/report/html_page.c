/* SPDX-License-Identifier: MIT */
/* What every page is made of: its head, its figures, and at its end what the script draws from. */
#include <errno.h>
#include <stdlib.h>

#include "html.h"

void html_head(FILE *f, const char *title, const unsigned char *more, size_t more_bytes) {
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n",
          f);
    html_printf(f, "<title>%s</title>\n<style>\n", title);
    fwrite(html_css, 1, html_css_bytes, f);
    if (more_bytes > 0) fwrite(more, 1, more_bytes, f);
    fputs("</style>\n</head>\n<body>\n", f);
}

void html_page_begin(struct html_page *p, FILE *f, const char *title) {
    *p = (struct html_page){.f = f};
    p->data.f = open_memstream(&p->text, &p->bytes);
    if (!p->data.f) lab_out_of_memory();
    lab_json_object(&p->data, NULL, false);
    lab_json_array(&p->data, "charts", false);
    html_head(f, title, NULL, 0);
}

static void scripts(FILE *f, const char *data) {
    fputs("<script type=\"application/json\" id=\"data\">", f);
    html_json_in_script(f, data);
    fputs("</script>\n", f);
    if (html_library_bytes > 0) { /* built without the library: no charts */
        fputs("<!--\n", f);
        fwrite(html_library_notice, 1, html_library_notice_bytes, f);
        fputs("-->\n<script>\n", f);
        fwrite(html_library, 1, html_library_bytes, f);
        fputs("\n</script>\n", f);
    }
    fputs("<script>\n", f);
    fwrite(html_js, 1, html_js_bytes, f);
    fputs("</script>\n", f);
}

static void subjects(struct html_page *p) {
    struct lab_json *j = &p->data;
    lab_json_array(j, "subjects", false);
    for (size_t i = 0; i < p->subject_count; i++) {
        lab_json_object(j, NULL, true);
        lab_json_string(j, "name", p->subjects[i]);
        lab_json_string(j, "kind", html_kind(p->run, p->subjects[i]));
        lab_json_integer(j, "place", (long long)html_place(p->run, p->subjects[i]));
        lab_json_end_object(j);
        free(p->subjects[i]);
    }
    free(p->subjects);
    lab_json_end_array(j);
}

int html_page_end(struct html_page *p) {
    lab_json_end_array(&p->data);
    subjects(p);
    lab_json_end_object(&p->data);
    if (fclose(p->data.f) != 0) lab_out_of_memory();
    scripts(p->f, p->text);
    free(p->text);
    fputs("</body>\n</html>\n", p->f);
    return ferror(p->f) ? -EIO : 0;
}

void html_repeat(FILE *f, const char *command) {
    html_printf(f, "<div class=\"repeat\"><code>%s</code></div>\n", command);
}

void html_figure_begin(struct html_page *p, const char *title, const char *about,
                       enum lab_better better) {
    fprintf(p->f, "<figure data-chart=\"%zu\">\n", p->charts++);
    html_printf(p->f, "<figcaption><b>%s</b>", title);
    if (*about) html_printf(p->f, " <span>%s</span>", about);
    if (better != LAB_BETTER_NONE) {
        fprintf(p->f, " <span>%s is better</span>",
                better == LAB_BETTER_HIGHER ? "more" : "less");
    }
    fputs("</figcaption>\n<div class=\"plot\"><noscript>The chart needs JavaScript; its "
          "numbers are in the table.</noscript></div>\n", p->f);
}

void html_figure_end(struct html_page *p, const char *command) {
    if (command) html_repeat(p->f, command);
    fputs("</figure>\n", p->f);
}
