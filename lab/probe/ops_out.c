/* SPDX-License-Identifier: MIT */
/* heddle ops: JSON and CSV. */
#include <stdlib.h>

#include "probe/ops.h"
#include "report/csv.h"
#include "report/json.h"
#include "text.h"

enum { SCHEMA = 1 };

static const char *name_of(const struct probe_ops_report *r, uint8_t op, char room[16]) {
    if (r->names->op[op].name)
        return r->names->op[op].name;
    snprintf(room, 16, "<%d>", op);
    return room;
}

static double share(const struct probe_ops_report *r, uint64_t samples) {
    return r->result->samples ? (double)samples / (double)r->result->samples : 0;
}

static void write_words(struct lab_json *j, const char *key, const struct probe_ops_words *w) {
    lab_json_array(j, key, false);
    for (size_t i = 0; i < w->count; i++)
        lab_json_string(j, NULL, w->text[i]);
    lab_json_end_array(j);
}

static void write_head(struct lab_json *j, const struct probe_ops_report *r) {
    const struct probe_python_facts *p = r->python;
    struct probe_ops_words verdict, advice;
    probe_ops_verdict(r, &verdict, &advice);
    lab_json_integer(j, "schema", SCHEMA);
    lab_json_string(j, "tool", "heddle ops");
    lab_json_string(j, "command", r->repeat);
    lab_json_string(j, "program", r->program);
    lab_json_integer(j, "pid", r->pid);
    lab_json_string(j, "ended", r->ended);
    lab_json_object(j, "python", true);
    char *version = p->micro >= 0 ? lab_format("%d.%d.%d", p->major, p->minor, p->micro)
                                  : lab_format("%d.%d", p->major, p->minor);
    lab_json_string(j, "version", version);
    free(version);
    lab_json_bool(j, "free_threaded", p->free_threaded);
    lab_json_string(j, "file", p->file);
    lab_json_string(j, "how", p->how);
    lab_json_end_object(j);
    lab_json_string(j, "names", r->names->how);
    lab_json_bool(j, "names_known", r->names->known);
    lab_json_number(j, "seconds", r->seconds);
    lab_json_number(j, "every_ms", r->every_ms);
    lab_json_integer(j, "ticks", (long long)r->ticks);
    lab_json_integer(j, "idle", (long long)r->idle);
    lab_json_integer(j, "samples", (long long)r->result->samples);
    lab_json_integer(j, "torn", (long long)r->result->torn);
    lab_json_integer(j, "dropped", (long long)r->result->dropped);
    lab_json_number(j, "own_cpu", r->own_cpu);
    write_words(j, "verdict", &verdict);
    write_words(j, "advice", &advice);
    probe_ops_words_free(&verdict);
    probe_ops_words_free(&advice);
    lab_json_object(j, "states", true);
    for (int i = 0; i < PROBE_OP_STATES; i++)
        lab_json_integer(j, probe_op_state_word(i), (long long)r->result->state[i]);
    lab_json_end_object(j);
}

static void write_place(struct lab_json *j, const struct probe_ops_report *r,
                        const struct probe_op_place *x) {
    char room[16];
    lab_json_object(j, NULL, true);
    lab_json_integer(j, "offset", x->offset);
    lab_json_integer(j, "line", x->line);
    lab_json_string(j, "opcode", name_of(r, x->op, room));
    lab_json_integer(j, "argument", x->argument);
    lab_json_string(j, "means", x->means);
    lab_json_integer(j, "samples", (long long)x->samples);
    lab_json_string(j, "state", probe_op_state_word(x->state));
    if (x->failures >= 0)
        lab_json_integer(j, "failures", x->failures);
    lab_json_object(j, "forms", true);
    for (int i = 0; i < x->forms; i++)
        lab_json_integer(j, name_of(r, x->form[i].op, room), x->form[i].samples);
    lab_json_end_object(j);
    lab_json_end_object(j);
}

int probe_ops_json(FILE *f, const struct probe_ops_report *r) {
    struct lab_json j = {.f = f};
    char room[16];
    lab_json_object(&j, NULL, false);
    write_head(&j, r);
    lab_json_array(&j, "opcodes", false);
    for (size_t i = 0; i < r->result->totals; i++) {
        const struct probe_op_total *t = &r->result->total[i];
        const struct probe_op *op = &r->names->op[t->op];
        lab_json_object(&j, NULL, true);
        lab_json_string(&j, "opcode", name_of(r, t->op, room));
        lab_json_string(&j, "general", op->name ? r->names->op[op->base].name : NULL);
        lab_json_integer(&j, "samples", (long long)t->samples);
        lab_json_number(&j, "share", share(r, t->samples));
        lab_json_end_object(&j);
    }
    lab_json_end_array(&j);
    probe_attempts_json(&j, r->attempts);
    lab_json_array(&j, "functions", false);
    for (size_t i = 0; i < r->result->code_count; i++) {
        const struct probe_op_code *c = &r->result->code[i];
        lab_json_object(&j, NULL, false);
        lab_json_string(&j, "function", c->function);
        lab_json_string(&j, "file", c->file);
        lab_json_integer(&j, "first_line", c->first_line);
        lab_json_integer(&j, "samples", (long long)c->samples);
        lab_json_number(&j, "share", share(r, c->samples));
        lab_json_array(&j, "instructions", false);
        for (size_t k = 0; k < c->place_count; k++) {
            if (c->place[k].samples)
                write_place(&j, r, &c->place[k]);
        }
        lab_json_end_array(&j);
        lab_json_end_object(&j);
    }
    lab_json_end_array(&j);
    lab_json_end_object(&j);
    fputc('\n', f);
    return 0;
}

int probe_ops_csv(FILE *f, const struct probe_ops_report *r) {
    fputs("file,function,first_line,line,offset,opcode,argument,means,state,samples,share,"
          "forms\r\n",
          f);
    for (size_t i = 0; i < r->result->code_count; i++) {
        const struct probe_op_code *c = &r->result->code[i];
        for (size_t k = 0; k < c->place_count; k++) {
            const struct probe_op_place *x = &c->place[k];
            char room[16];
            if (!x->samples)
                continue;
            lab_csv_field(f, c->file);
            fputc(',', f);
            lab_csv_field(f, c->function);
            fprintf(f, ",%d,%d,%u,%s,%u,", c->first_line, x->line, x->offset,
                    name_of(r, x->op, room), x->argument);
            lab_csv_field(f, x->means ? x->means : "");
            fprintf(f, ",%s,%llu,", probe_op_state_word(x->state), (unsigned long long)x->samples);
            lab_csv_number(f, share(r, x->samples));
            fputc(',', f);
            for (int n = 0; n < x->forms; n++)
                fprintf(f, "%s%s=%u", n ? ";" : "", name_of(r, x->form[n].op, room),
                        x->form[n].samples);
            fputs("\r\n", f);
        }
    }
    return 0;
}
