/* SPDX-License-Identifier: MIT */
/* What must hold for every page. */
#include "html_check.h"

#include "test.h"

#include <string.h>

size_t html_count(const char *text, const char *part) {
    size_t n = 0;
    for (; (text = strstr(text, part)); text += strlen(part)) n++;
    return n;
}

static bool is_void(const char *name, size_t length) {
    return (length == 4 && strncmp(name, "meta", 4) == 0) ||
           (length == 2 && strncmp(name, "br", 2) == 0);
}

/* Every element is closed by its own end tag, in order; scripts and styles are passed over. */
void html_check_nesting(const char *text) {
    char stack[64][16];
    size_t depth = 0;
    for (const char *at = text; (at = strchr(at, '<'));) {
        if (strncmp(at, "<!--", 4) == 0) {
            at = strstr(at, "-->");
            CHECK(at != NULL);
            continue;
        }
        bool closing = at[1] == '/';
        const char *name = at + 1 + closing;
        size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789");
        at = name;
        if (length == 0) continue; /* the document type */
        CHECK_LT(length, sizeof(stack[0]));
        if (closing) {
            CHECK_GT(depth, 0u);
            depth--;
            CHECK_MSG(strncmp(stack[depth], name, length) == 0 && stack[depth][length] == '\0',
                      "</%.*s> closes <%s>", (int)length, name, stack[depth]);
        } else if (!is_void(name, length)) {
            CHECK_LT(depth, 64u);
            memcpy(stack[depth], name, length);
            stack[depth][length] = '\0';
            stack[depth++][length] = '\0';
        }
        if (!closing && strncmp(name, "script", 6) == 0) at = strstr(name, "</script");
        if (!closing && strncmp(name, "style", 5) == 0) at = strstr(name, "</style");
        CHECK(at != NULL);
    }
    CHECK_EQ(depth, 0u);
}

void html_check_self_contained(const char *text) {
    static const char *const outside[] = {" src=", "href=\"http", "href='http", "@import",
                                          "<link", "<img", "url("};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        const char *found = strstr(text, outside[i]);
        CHECK_MSG(!found, "refers to something outside: %.60s", found ? found : "");
    }
}
