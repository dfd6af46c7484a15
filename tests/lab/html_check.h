/* SPDX-License-Identifier: MIT */
/* What must hold for every page. */
#ifndef HEDDLE_TEST_HTML_CHECK_H
#define HEDDLE_TEST_HTML_CHECK_H

#include <stddef.h>

/* How often a part is in a text. */
size_t html_count(const char *text, const char *part);

/* Every element is closed by its own end tag, in order; scripts and styles are passed over. */
void html_check_nesting(const char *text);

/* Nothing is fetched from elsewhere. */
void html_check_self_contained(const char *text);

#endif
