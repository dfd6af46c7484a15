/* SPDX-License-Identifier: MIT */
/* What the sections of a probe's page are made of. */
#include "probe/out_html.h"

#include <stdlib.h>
#include <string.h>

#include "report/html.h"

enum { COLOURS = 10 }; /* of html_page.css, own-0 and so on */

const char *out_html_state_class(enum probe_state s) {
    static const char *const classes[PROBE_STATES] = {
        [PROBE_STATE_NONE] = "st-none",       [PROBE_STATE_HOLDS] = "st-holds",
        [PROBE_STATE_HOLDS_OFF] = "st-off",   [PROBE_STATE_WAITS] = "st-waits",
        [PROBE_STATE_ON] = "st-on",           [PROBE_STATE_RUNNABLE] = "st-runnable",
        [PROBE_STATE_BLOCKED] = "st-blocked",
    };
    return classes[s];
}

char *out_html_ns(uint64_t ns) {
    return html_value((double)ns, "ns");
}

char *out_html_share(uint64_t part, uint64_t whole) {
    double share = whole ? 100.0 * (double)part / (double)whole : 0;
    if (part == 0)
        return lab_copy("0");
    return share < 0.05 ? lab_copy("&lt;0.1&nbsp;%") : lab_format("%.1f&nbsp;%%", share);
}

char *out_html_count(uint64_t n) {
    return n < 100000 ? lab_format("%llu", (unsigned long long)n) : html_value((double)n, "count");
}

void out_html_cell(FILE *f, char *text) {
    fprintf(f, "<td>%s</td>", text);
    free(text);
}

void out_html_words(FILE *f, const char *text) {
    bool inside = false;
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, "`");
        char *part = lab_copy_n(at, n);
        html_text(f, part);
        free(part);
        at += n;
        if (*at && (inside || strchr(at + 1, '`'))) {
            fputs(inside ? "</code>" : "<code>", f);
            inside = !inside;
        } else if (*at) {
            fputc('`', f);
        }
        at += *at != '\0';
    }
}

void out_html_thread(FILE *f, const struct probe_timeline *t, size_t index) {
    char *title = probe_thread_title(t, index);
    fprintf(f, "<span class=\"key own own-%zu\"></span>", index % COLOURS);
    html_text(f, title);
    free(title);
}

void out_html_bar(FILE *f, const uint64_t state_ns[PROBE_STATES], uint64_t whole) {
    fputs("<span class=\"states\">", f);
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++) {
        double share = whole ? 100.0 * (double)state_ns[s] / (double)whole : 0;
        if (share < 0.05)
            continue;
        fprintf(f, "<i class=\"%s\" style=\"width:%.2f%%\" title=\"%s %.1f %%\"></i>",
                out_html_state_class((enum probe_state)s), share,
                probe_state_word((enum probe_state)s), share);
    }
    fputs("</span>", f);
}
