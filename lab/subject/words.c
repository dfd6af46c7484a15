/* SPDX-License-Identifier: MIT */
/* Command lines. */
#include "words.h"

#include <stdlib.h>
#include <string.h>

#include "../text.h"

/* What a shell would not pass on as it stands. A brace is passed on: {name} and {} are not the
 * shell's, and "a{b,c}" is rare enough. */
static const char special[] = "|&;<>()$`\n*?[#!";

/* Adds what stands between quotes, from behind the first. Returns behind the last; NULL if there
 * is none, or if the shell would have looked into it. */
static const char *quoted(const char *s, char quote, struct lab_text *word, char **why) {
    for (; *s != quote; s++) {
        if (!*s) {
            *why = lab_format("a quote (%c) does not end", quote);
            return NULL;
        }
        if (quote == '"' && (*s == '$' || *s == '`')) {
            *why = lab_format("only a shell understands '%c' (see --shell)", *s);
            return NULL;
        }
        if (quote == '"' && *s == '\\' && s[1] && strchr("\\\"$`", s[1]))
            s++;
        lab_text_add(word, s, 1);
    }
    return s + 1;
}

/* Adds one word; returns behind it, NULL if something is wrong. */
static const char *take_word(const char *s, struct lab_text *word, char **why) {
    lab_text_add(word, "", 0);
    while (*s && *s != ' ' && *s != '\t') {
        if (*s == '\'' || *s == '"') {
            s = quoted(s + 1, *s, word, why);
            if (!s)
                return NULL;
            continue;
        }
        if (strchr(special, *s) || (*s == '~' && word->length == 0)) {
            *why = *s == '\n' ? lab_copy("only a shell takes several lines (see --shell)")
                              : lab_format("only a shell understands '%c' (see --shell)", *s);
            return NULL;
        }
        if (*s == '\\' && s[1])
            s++;
        lab_text_add(word, s++, 1);
    }
    return s;
}

char **lab_words_split(const char *line, char **why) {
    char **words = lab_alloc(1, sizeof(*words));
    size_t count = 0;
    *why = NULL;
    for (const char *s = line; *(s += strspn(s, " \t"));) {
        struct lab_text word = {0};
        s = take_word(s, &word, why);
        if (!s) {
            lab_text_free(&word);
            lab_words_free(words);
            return NULL;
        }
        words = lab_grow(words, count + 2, sizeof(*words));
        words[count++] = word.data;
        words[count] = NULL;
    }
    if (count == 0) {
        *why = lab_copy("there is no command");
        lab_words_free(words);
        return NULL;
    }
    return words;
}

static void quote(struct lab_text *t, const char *word) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "_-+=./,:@%^{}";
    if (*word && word[strspn(word, plain)] == '\0') {
        lab_text_add(t, word, strlen(word));
        return;
    }
    lab_text_add(t, "'", 1);
    for (; *word; word++) {
        if (*word == '\'') {
            lab_text_add(t, "'\\''", 4);
        } else {
            lab_text_add(t, word, 1);
        }
    }
    lab_text_add(t, "'", 1);
}

char *lab_words_join(char *const *words) {
    struct lab_text t = {0};
    lab_text_add(&t, "", 0);
    for (size_t i = 0; words[i]; i++) {
        if (i)
            lab_text_add(&t, " ", 1);
        quote(&t, words[i]);
    }
    return t.data;
}

void lab_words_free(char **words) {
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

/* The parameter whose {name} begins here, or NULL. */
static const struct lab_pair *named_here(const char *s, const struct lab_pair *params,
                                         size_t count) {
    for (size_t i = 0; *s == '{' && i < count; i++) {
        size_t n = strlen(params[i].key);
        if (strncmp(s + 1, params[i].key, n) == 0 && s[1 + n] == '}')
            return &params[i];
    }
    return NULL;
}

char *lab_words_fill(const char *text, const struct lab_pair *params, size_t count) {
    struct lab_text t = {0};
    lab_text_add(&t, "", 0);
    for (const char *s = text; *s;) {
        const struct lab_pair *p = named_here(s, params, count);
        if (p) {
            lab_text_add(&t, p->value, strlen(p->value));
            s += strlen(p->key) + 2;
        } else {
            lab_text_add(&t, s++, 1);
        }
    }
    return t.data;
}

bool lab_words_mention(const char *text, const char *name) {
    const struct lab_pair p = {.key = (char *)name};
    for (const char *s = text; *s; s++) {
        if (named_here(s, &p, 1))
            return true;
    }
    return false;
}
