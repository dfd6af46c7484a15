/* SPDX-License-Identifier: MIT */
/* The runs that a user names. */
#include "pick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "message.h"
#include "subject/process.h"
#include "text.h"

static const char revision[] = "rev:";

bool lab_pick_is_file(const char *what) {
    struct stat st;
    if (strcmp(what, "-") == 0 || strchr(what, '/'))
        return true;
    return stat(what, &st) == 0 && !S_ISDIR(st.st_mode);
}

/* Whether git is to be asked what it means: names of branches and tags may also be labels, so
 * they must be told apart by "rev:". */
static bool is_revision(const char *what) {
    return lab_starts_with(what, revision) || lab_starts_with(what, "HEAD") ||
           strpbrk(what, "~^") != NULL;
}

/* The commit that git calls so in the present directory; NULL after a complaint. */
static char *ask_git(const char *name) {
    char *wanted = lab_format("%s^{commit}", name);
    char *argv[] = {"/usr/bin/env",     "git",  "rev-parse", "--verify", "--quiet",
                    "--end-of-options", wanted, NULL};
    enum { PATIENCE_S = 10 };
    struct lab_process p;
    lab_process_run(&p, argv, PATIENCE_S);
    char *commit = NULL;
    if (p.end == LAB_PROCESS_EXITED && p.code == 0 && p.out.length) {
        p.out.data[strcspn(p.out.data, "\n")] = '\0';
        commit = lab_copy(p.out.data);
    } else {
        lab_complain("git knows no revision '%s' here", name);
    }
    lab_process_free(&p);
    free(wanted);
    return commit;
}

int lab_pick_find(struct lab_store *store, const char *what, long long *id) {
    if (!is_revision(what))
        return lab_store_find(store, what, id);
    size_t skip = lab_starts_with(what, revision) ? strlen(revision) : 0;
    char *commit = ask_git(what + skip);
    if (!commit)
        return -ENOENT;
    int error = lab_store_find(store, commit, id);
    free(commit);
    return error;
}

int lab_pick_run(const char *what, const char *db, struct lab_run *out) {
    struct lab_store *store;
    long long id = 0;
    if (lab_pick_is_file(what))
        return lab_load_file(what, out);
    int error = lab_store_open(db, false, &store);
    if (error)
        return error;
    error = lab_pick_find(store, what, &id);
    if (!error)
        error = lab_store_load(store, id, out);
    lab_store_close(store);
    return error;
}
