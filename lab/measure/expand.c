/* SPDX-License-Identifier: MIT */
/* From what a user typed to the commands that are measured. */
#include "expand.h"

#include <stdlib.h>
#include <string.h>

#include "../message.h"
#include "../record.h"
#include "../subject/words.h"
#include "../text.h"

enum { ITEMS_MAX = 10000 }; /* more is a mistake */

/* ---- lists of values ---- */

static int add_value(struct lab_list *l, const char *value) {
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->values[i], value) == 0) {
            lab_complain("--parameter: %s has the value '%s' twice", l->name, value);
            return LAB_EXIT_USAGE;
        }
    }
    l->values = lab_grow_one(l->values, l->count, sizeof(*l->values));
    l->values[l->count++] = lab_copy(value);
    return 0;
}

/* A whole number as it is usually written, and where it ends; NULL if there is none. */
static const char *read_whole(const char *text, long long *number) {
    const char *digits = text + (*text == '-');
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 18 || (*digits == '0' && n > 1))
        return NULL;
    *number = strtoll(text, NULL, 10);
    return digits + n;
}

/* The values of "1..9" or "1..9..2"; false if the text is no range. */
static bool add_range(struct lab_list *l, const char *text, int *status) {
    long long first, last, step = 1;
    const char *end = read_whole(text, &first);
    if (!end || strncmp(end, "..", 2) != 0)
        return false;
    end = read_whole(end + 2, &last);
    if (end && strncmp(end, "..", 2) == 0)
        end = read_whole(end + 2, &step);
    if (!end || *end)
        return false;
    if (step <= 0 || (last > first ? last - first : first - last) / step >= ITEMS_MAX) {
        lab_complain(step <= 0 ? "--parameter: the step of '%s' is not above 0"
                               : "--parameter: '%s' has too many values",
                     text);
        *status = LAB_EXIT_USAGE;
    }
    for (long long x = first; !*status && (first <= last ? x <= last : x >= last);
         x += first <= last ? step : -step) {
        char value[32];
        snprintf(value, sizeof(value), "%lld", x);
        *status = add_value(l, value);
    }
    return true;
}

/* The value that ends here; taken as it is if a part of it was behind a backslash. */
static int end_value(struct lab_list *l, struct lab_text *value, bool plain) {
    int status = 0;
    lab_text_add(value, "", 0);
    if (!plain || !add_range(l, value->data, &status))
        status = add_value(l, value->data);
    lab_text_free(value);
    return status;
}

int lab_sources_list(struct lab_sources *s, const char *text) {
    static const char name_characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789_-";
    size_t n = strspn(text, name_characters);
    if (n == 0 || text[n] != '=') {
        lab_complain("--parameter: '%s' is not name=value,value...", text);
        return LAB_EXIT_USAGE;
    }
    for (size_t i = 0; i < s->list_count; i++) {
        if (strlen(s->lists[i].name) == n && strncmp(s->lists[i].name, text, n) == 0) {
            lab_complain("--parameter: '%s' is given twice", s->lists[i].name);
            return LAB_EXIT_USAGE;
        }
    }
    s->lists = lab_grow_one(s->lists, s->list_count, sizeof(*s->lists));
    struct lab_list *l = &s->lists[s->list_count++];
    *l = (struct lab_list){.name = lab_copy_n(text, n)};
    struct lab_text value = {0};
    bool plain = true;
    for (const char *c = text + n + 1;; c++) {
        if (*c == ',' || *c == '\0') {
            int status = end_value(l, &value, plain);
            plain = true;
            if (status || !*c)
                return status;
            continue;
        }
        if (*c == '\\' && (c[1] == ',' || c[1] == '\\' || c[1] == '.')) {
            plain = false;
            c++;
        }
        lab_text_add(&value, c, 1);
    }
}

/* ---- what belongs to which command ---- */

/* The text for the i-th command, or NULL. */
static const char *text_for(const struct lab_each *e, size_t i) {
    return e->count == 0 ? NULL : e->count == 1 ? e->texts[0] : e->texts[i];
}

static int check_each(const struct lab_each *e, const char *option, size_t commands) {
    if (e->count <= 1 || e->count == commands)
        return 0;
    lab_complain("--%s is given %zu times, for %zu command%s: give it once, or once for each",
                 option, e->count, commands, commands == 1 ? "" : "s");
    return LAB_EXIT_USAGE;
}

/* Whether the i-th command, or what is done around it, mentions the parameter. */
static bool mentions(const struct lab_sources *s, size_t i, const char *name) {
    const struct lab_source *x = &s->items[i];
    const char *const around[] = {x->line,
                                  text_for(&s->setups, i),
                                  text_for(&s->prepares, i),
                                  text_for(&s->cleanups, i),
                                  text_for(&s->names, i),
                                  s->shell};
    for (size_t k = 0; k < sizeof(around) / sizeof(around[0]); k++) {
        if (around[k] && lab_words_mention(around[k], name))
            return true;
    }
    for (size_t k = 0; !x->line && x->words[k]; k++) {
        if (lab_words_mention(x->words[k], name))
            return true;
    }
    return false;
}

static int check_lists(const struct lab_sources *s) {
    for (size_t k = 0; k < s->list_count; k++) {
        bool used = false;
        for (size_t i = 0; i < s->count && !used; i++)
            used = mentions(s, i, s->lists[k].name);
        if (!used) {
            lab_complain("--parameter: no command has {%s} in it", s->lists[k].name);
            return LAB_EXIT_USAGE;
        }
    }
    return 0;
}

/* ---- one item ---- */

/* What a shell is given: a single word as it stands, so that it may hold a whole command line. */
static char *as_line(const struct lab_source *x) {
    if (x->line)
        return lab_copy(x->line);
    return x->words[1] ? lab_words_join(x->words) : lab_copy(x->words[0]);
}

static char **filled_words(char *const *words, const struct lab_bench_item *item) {
    size_t n = 0;
    while (words[n])
        n++;
    char **filled = lab_alloc(n + 1, sizeof(*filled));
    for (size_t i = 0; i < n; i++)
        filled[i] = lab_words_fill(words[i], item->params, item->param_count);
    return filled;
}

/* The shell's own words, and then the line as one more. NULL after a complaint. */
static char **shell_words(const char *shell, const char *line) {
    char *why, **words = lab_words_split(strcmp(shell, "default") == 0 ? "/bin/sh" : shell, &why);
    if (!words) {
        lab_complain("--shell '%s': %s", shell, why);
        free(why);
        return NULL;
    }
    size_t n = 0;
    while (words[n])
        n++;
    words = lab_grow(words, n + 3, sizeof(*words));
    words[n] = lab_copy("-c");
    words[n + 1] = lab_copy(line);
    words[n + 2] = NULL;
    return words;
}

/* Sets the item's words and its plain name. False after a complaint. */
static bool set_command(const struct lab_sources *s, const struct lab_source *x,
                        struct lab_bench_item *item) {
    char *why = NULL, *line = NULL;
    if (s->shell || x->line) {
        char *text = as_line(x);
        line = lab_words_fill(text, item->params, item->param_count);
        free(text);
    }
    if (s->shell) {
        char *shell = lab_words_fill(s->shell, item->params, item->param_count);
        item->argv = shell_words(shell, line);
        free(shell);
    } else if (x->line) {
        item->argv = lab_words_split(line, &why);
    } else {
        item->argv = filled_words(x->words, item);
    }
    if (why)
        lab_complain("'%s': %s", line, why);
    free(why);
    item->name = line ? line : lab_words_join(item->argv);
    return item->argv != NULL;
}

static char *filled(const char *text, const struct lab_bench_item *item) {
    return text ? lab_words_fill(text, item->params, item->param_count) : NULL;
}

static bool is_number(const char *text) {
    char *end;
    if (!*text || strspn(text, "0123456789.-+eE") != strlen(text))
        return false;
    /* As JSON has them: no plus, no leading zero, digits on both sides of a point. */
    const char *digits = text + (*text == '-');
    if (*digits < '0' || *digits > '9' || (*digits == '0' && digits[1] >= '0' && digits[1] <= '9'))
        return false;
    const char *point = strchr(text, '.');
    if (point && (point[1] < '0' || point[1] > '9'))
        return false;
    strtod(text, &end);
    return *end == '\0';
}

/* The item of the i-th command with one choice of values: choice[k] is that of the k-th list. */
static int add_item(const struct lab_sources *s, size_t i, const size_t *choice,
                    struct lab_bench *b) {
    if (b->item_count == ITEMS_MAX) {
        lab_complain("heddle run: these are more than %d commands", ITEMS_MAX);
        return LAB_EXIT_USAGE;
    }
    b->items = lab_grow_one(b->items, b->item_count, sizeof(*b->items));
    struct lab_bench_item *item = &b->items[b->item_count++];
    *item = (struct lab_bench_item){0};
    for (size_t k = 0; k < s->list_count; k++) {
        const char *value = s->lists[k].values[choice[k]];
        if (mentions(s, i, s->lists[k].name))
            lab_pairs_add(&item->params, &item->param_count, s->lists[k].name, value,
                          is_number(value));
    }
    if (!set_command(s, &s->items[i], item))
        return LAB_EXIT_USAGE;
    if (text_for(&s->names, i)) {
        free(item->name);
        item->name = filled(text_for(&s->names, i), item);
    }
    item->setup = filled(text_for(&s->setups, i), item);
    item->prepare = filled(text_for(&s->prepares, i), item);
    item->cleanup = filled(text_for(&s->cleanups, i), item);
    return 0;
}

/* All choices of values for the i-th command, as an odometer counts. */
static int add_items(const struct lab_sources *s, size_t i, struct lab_bench *b) {
    size_t *choice = lab_alloc(s->list_count, sizeof(*choice));
    int status = 0;
    for (bool more = true; more && !status;) {
        status = add_item(s, i, choice, b);
        more = false;
        for (size_t k = s->list_count; k-- > 0 && !more;) {
            if (!mentions(s, i, s->lists[k].name))
                continue;
            more = ++choice[k] < s->lists[k].count;
            if (!more)
                choice[k] = 0;
        }
    }
    free(choice);
    return status;
}

/* ---- unique names ---- */

static bool name_is_taken(const struct lab_bench *b, size_t i) {
    for (size_t k = 0; k < i; k++) {
        if (strcmp(b->items[k].name, b->items[i].name) == 0)
            return true;
    }
    return false;
}

static char *describe_params(const struct lab_bench_item *item) {
    struct lab_text t = {0};
    lab_text_add(&t, "", 0);
    for (size_t k = 0; k < item->param_count; k++)
        lab_text_printf(&t, "%s%s=%s", k ? ", " : "", item->params[k].key, item->params[k].value);
    return t.data;
}

/* Whether another item of this name has other parameters. */
static bool params_tell(const struct lab_bench *b, char *const *params, size_t i) {
    for (size_t k = 0; k < b->item_count; k++) {
        if (strcmp(b->items[k].name, b->items[i].name) == 0 && strcmp(params[k], params[i]) != 0)
            return true;
    }
    return false;
}

/* By the parameters where those tell items of one name apart. */
static void add_params(struct lab_bench *b) {
    char **params = lab_alloc(b->item_count, sizeof(*params));
    char **names = lab_alloc(b->item_count, sizeof(*names));
    for (size_t i = 0; i < b->item_count; i++)
        params[i] = describe_params(&b->items[i]);
    for (size_t i = 0; i < b->item_count; i++) {
        const char *name = b->items[i].name;
        names[i] = *params[i] && params_tell(b, params, i) ? lab_format("%s (%s)", name, params[i])
                                                           : lab_copy(name);
    }
    for (size_t i = 0; i < b->item_count; i++) {
        free(b->items[i].name);
        b->items[i].name = names[i];
        free(params[i]);
    }
    free(params);
    free(names);
}

/* By the parameters, and where that does not do, by numbers. */
static void make_unique(struct lab_bench *b) {
    add_params(b);
    for (size_t i = 0; i < b->item_count; i++) {
        char *plain = lab_copy(b->items[i].name);
        for (unsigned number = 2; name_is_taken(b, i); number++) {
            free(b->items[i].name);
            b->items[i].name = lab_format("%s (%u)", plain, number);
        }
        free(plain);
    }
}

int lab_sources_expand(const struct lab_sources *s, struct lab_bench *b) {
    int status = check_lists(s);
    if (!status)
        status = check_each(&s->names, "name", s->count);
    if (!status)
        status = check_each(&s->setups, "setup", s->count);
    if (!status)
        status = check_each(&s->prepares, "prepare", s->count);
    if (!status)
        status = check_each(&s->cleanups, "cleanup", s->count);
    if (!status && s->names.count == 1 && s->count > 1) {
        lab_complain("--name is given once, for %zu commands: give it once for each", s->count);
        status = LAB_EXIT_USAGE;
    }
    for (size_t i = 0; i < s->count && !status; i++)
        status = add_items(s, i, b);
    if (!status)
        make_unique(b);
    if (!status && s->shell) {
        b->shell_alone = shell_words(s->shell, "");
        status = b->shell_alone ? 0 : LAB_EXIT_USAGE;
    }
    return status;
}

void lab_sources_free(struct lab_sources *s) {
    for (size_t i = 0; i < s->count; i++)
        free(s->items[i].words);
    for (size_t i = 0; i < s->list_count; i++) {
        for (size_t k = 0; k < s->lists[i].count; k++)
            free(s->lists[i].values[k]);
        free(s->lists[i].values);
        free(s->lists[i].name);
    }
    free(s->items);
    free(s->lists);
    free(s->names.texts);
    free(s->setups.texts);
    free(s->prepares.texts);
    free(s->cleanups.texts);
    *s = (struct lab_sources){0};
}
