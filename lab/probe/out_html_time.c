/* SPDX-License-Identifier: MIT */
/* The timeline of a probe's page, and its data.
 *
 * A page is to stay below a megabyte whatever was watched, so the data is packed: numbers of seven
 * bits a byte, in base64. Of each span: its begin since the one before, its length (both in units
 * of 100 ns), state and CPU, the track, the place. When there are more spans than fit, the newest
 * are there, and of all of them shares of each state in a few hundred slices of the time, which is
 * what can be seen at that scale. */
#include "probe/out_html.h"

#include <stdlib.h>
#include <string.h>

#include "report/html.h"

enum {
    SPANS_MOST = 360000, /* bytes of spans, a third more in base64 */
    PLACES_MOST = 2500,  /* frames */
    NAMES_MOST = 160000, /* bytes of their names */
    NAME_MOST = 120,     /* of one of them */
    TRACKS_MOST = 100,
    GILS_MOST = 12, /* that have a track */
    SLICES = 400,
    UNIT_NS = 100,
    CPUS_KNOWN = 30, /* those that fit beside the state */
};

struct data {
    const struct probe_report *r;
    const struct probe_timeline *t;
    struct lab_json j;
    int *track;      /* of each thread, or -1 */
    size_t *thread;  /* of each track */
    size_t tracks, first; /* the first span that is there */
    int *gil;        /* the number of each GIL's track from 1 on, or 0 */
    size_t gils;
    uint32_t *place; /* of each node that is kept, from 1 */
    size_t places;
    struct out_nodes nodes;
};

/* ---- packing ---- */

static void pack(struct lab_text *to, uint64_t value) {
    char bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (bytes[n++] & 0x80);
    lab_text_add(to, bytes, n);
}

static size_t packed_size(uint64_t value) {
    size_t n = 1;
    while (value >>= 7)
        n++;
    return n;
}

/* The first span of the newest that fit. */
static size_t first_that_fits(const struct probe_timeline *t) {
    size_t bytes = 0, i = t->span_count;
    for (; i > 0; i--) {
        const struct probe_span *s = &t->span[i - 1];
        uint64_t since = i > 1 ? s->begin_ns - t->span[i - 2].begin_ns : s->begin_ns - t->begin_ns;
        /* State and CPU, the track and the place take at most 2, 1 and 2. */
        bytes += packed_size(since / UNIT_NS + 1) +
                 packed_size((s->end_ns - s->begin_ns) / UNIT_NS + 1) + 5;
        if (bytes > SPANS_MOST)
            break;
    }
    return i;
}

static void base64(struct lab_json *j, const char *key, const struct lab_text *data) {
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct lab_text out = {0};
    const unsigned char *in = (const unsigned char *)data->data;
    for (size_t i = 0; i < data->length; i += 3) {
        size_t n = data->length - i < 3 ? data->length - i : 3;
        uint32_t v = (uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                     (n > 2 ? in[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=',
                        n > 2 ? digits[v & 63] : '='};
        lab_text_add(&out, four, 4);
    }
    lab_json_string(j, key, out.data ? out.data : "");
    lab_text_free(&out);
}

/* ---- what is shown ---- */

static uint64_t busy_ns(const struct probe_thread *x) {
    uint64_t sum = 0;
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATE_BLOCKED; s++)
        sum += x->state_ns[s];
    return sum;
}

static int most_first(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* The threads that get tracks: all, or those that did most. */
static void choose_tracks(struct data *d) {
    size_t n = d->t->thread_count;
    uint64_t *busy = lab_alloc(n + 1, sizeof(*busy)), least = 0;
    for (size_t i = 0; i < n; i++)
        busy[i] = busy_ns(&d->t->thread[i]);
    qsort(busy, n, sizeof(*busy), most_first);
    if (n > TRACKS_MOST)
        least = busy[TRACKS_MOST - 1];
    free(busy);
    d->track = lab_alloc(n + 1, sizeof(*d->track));
    d->thread = lab_alloc(n + 1, sizeof(*d->thread));
    for (size_t i = 0; i < n; i++) {
        bool shown = d->tracks < TRACKS_MOST && busy_ns(&d->t->thread[i]) >= least;
        d->track[i] = shown ? (int)d->tracks : -1;
        if (shown)
            d->thread[d->tracks++] = i;
    }
}

static int by_held(const void *a, const void *b, void *arg) {
    const struct probe_lock *lock = arg;
    const struct probe_lock *x = &lock[*(const size_t *)a], *y = &lock[*(const size_t *)b];
    if (x->held_ns != y->held_ns)
        return x->held_ns > y->held_ns ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* The GILs that get tracks: those that anybody had, as seen in the spans, or had longest. */
static void choose_gils(struct data *d) {
    size_t n = d->t->lock_count, *list = lab_alloc(n + 1, sizeof(*list)), count = 0;
    bool *seen = lab_alloc(n + 1, sizeof(*seen));
    d->gil = lab_alloc(n + 1, sizeof(*d->gil));
    for (size_t i = d->first; i < d->t->span_count; i++) {
        const struct probe_span *s = &d->t->span[i];
        if ((s->state == PROBE_STATE_HOLDS || s->state == PROBE_STATE_HOLDS_OFF) && s->lock >= 0 &&
            (size_t)s->lock < n)
            seen[s->lock] = true;
    }
    for (size_t i = 0; i < n; i++) {
        if (seen[i])
            list[count++] = i;
    }
    qsort_r(list, count, sizeof(*list), by_held, d->t->lock);
    for (size_t i = 0; i < count && i < GILS_MOST; i++)
        d->gil[list[i]] = -1;
    for (size_t i = 0; i < n; i++) {
        if (d->gil[i])
            d->gil[i] = (int)++d->gils;
    }
    free(list);
    free(seen);
}

static int gil_of(const struct data *d, const struct probe_span *s) {
    bool holds = s->state == PROBE_STATE_HOLDS || s->state == PROBE_STATE_HOLDS_OFF;
    return holds && s->lock >= 0 && (size_t)s->lock < d->t->lock_count ? d->gil[s->lock] : 0;
}

static size_t name_bytes(const char *name) {
    return name ? strnlen(name, NAME_MOST) + 4 : 0;
}

/* The newest places first: where there are too many, old spans have none. */
static void choose_places(struct data *d) {
    size_t kept = 0, bytes = 0;
    for (size_t i = d->t->span_count; i > d->first; i--) {
        uint32_t node = d->t->span[i - 1].stack;
        if (!node || !d->r->stacks || d->track[d->t->span[i - 1].thread] < 0)
            continue;
        for (uint32_t at = node; at && !(at < d->nodes.room && d->nodes.has[at]);
             at = probe_stacks_outer(d->r->stacks, at)) {
            const struct probe_frame *x = probe_stacks_frame(d->r->stacks, at);
            bytes += name_bytes(x->function) + name_bytes(x->file);
            kept++;
        }
        if (kept > PLACES_MOST || bytes > NAMES_MOST)
            break;
        out_nodes_add(&d->nodes, d->r->stacks, node);
    }
    d->place = lab_alloc(d->nodes.room + 1, sizeof(*d->place));
    for (size_t k = 1; k < d->nodes.room; k++) {
        if (d->nodes.has[k])
            d->place[k] = (uint32_t)++d->places;
    }
}

/* The track of a span, or that after the last: of threads that have none, only what they hold the
 * GIL for is told, for its own track. False: it is left out. */
static bool track_of(const struct data *d, const struct probe_span *s, size_t *track) {
    *track = d->track[s->thread] >= 0 ? (size_t)d->track[s->thread] : d->tracks;
    if (s->state == PROBE_STATE_NONE || s->begin_ns < d->t->begin_ns)
        return false;
    return *track < d->tracks || s->state == PROBE_STATE_HOLDS || s->state == PROBE_STATE_HOLDS_OFF;
}

static uint32_t place_of(const struct data *d, uint32_t node) {
    return node < d->nodes.room ? d->place[node] : 0;
}

/* ---- the parts of the data ---- */

static void put_threads(struct data *d) {
    struct lab_json *j = &d->j;
    lab_json_array(j, "threads", false);
    for (size_t i = 0; i < d->tracks; i++) {
        const struct probe_thread *x = &d->t->thread[d->thread[i]];
        char *title = probe_thread_title(d->t, d->thread[i]);
        lab_json_object(j, NULL, true);
        lab_json_string(j, "name", title);
        lab_json_integer(j, "tid", x->tid);
        lab_json_integer(j, "colour", (long long)(d->thread[i] % 10));
        if (x->worst_wait_ns) {
            lab_json_number(j, "worst", (double)(x->worst_wait_at_ns - d->t->begin_ns));
            lab_json_number(j, "worst_ns", (double)x->worst_wait_ns);
        }
        lab_json_end_object(j);
        free(title);
    }
    lab_json_end_array(j);
    lab_json_array(j, "gils", true);
    for (size_t i = 0; i < d->t->lock_count; i++) {
        char *title = d->gil[i] ? probe_lock_title(d->t, i) : NULL;
        if (title)
            lab_json_string(j, NULL, title);
        free(title);
    }
    lab_json_end_array(j);
    lab_json_array(j, "states", true);
    for (int s = 0; s < PROBE_STATES; s++)
        lab_json_string(j, NULL, s ? probe_state_word((enum probe_state)s) : "");
    lab_json_end_array(j);
}

static void put_spans(struct data *d) {
    const struct probe_timeline *t = d->t;
    struct lab_text out = {0};
    uint64_t at = 0;
    size_t count = 0;
    for (size_t i = d->first; i < t->span_count; i++) {
        const struct probe_span *s = &t->span[i];
        size_t track;
        if (!track_of(d, s, &track))
            continue;
        uint64_t begin = (s->begin_ns - t->begin_ns) / UNIT_NS;
        uint64_t end = (s->end_ns - t->begin_ns) / UNIT_NS;
        if (begin < at)
            begin = at;
        pack(&out, begin - at);
        pack(&out, end > begin ? end - begin : 0);
        unsigned cpu = s->cpu >= 0 && s->cpu < CPUS_KNOWN ? (unsigned)s->cpu + 1 : 0;
        pack(&out, ((unsigned)gil_of(d, s) * 32u + cpu) * 8u + s->state);
        pack(&out, track);
        pack(&out, place_of(d, s->stack));
        at = begin;
        count++;
    }
    lab_json_integer(&d->j, "count", (long long)count);
    base64(&d->j, "spans", &out);
    lab_text_free(&out);
}

/* Adds a span to the slices that it touches. */
static void slice_span(const struct probe_span *s, size_t track, uint64_t from, double slice_ns,
                       double *share) {
    double begin = (double)(s->begin_ns - from), end = (double)(s->end_ns - from);
    for (int k = (int)(begin / slice_ns); k < SLICES && k * slice_ns < end; k++) {
        double low = k * slice_ns > begin ? k * slice_ns : begin;
        double high = (k + 1) * slice_ns < end ? (k + 1) * slice_ns : end;
        if (high > low)
            share[(track * SLICES + (size_t)k) * PROBE_STATES + s->state] +=
                (high - low) / slice_ns;
    }
}

/* Of each track and slice: a byte that says which states there are, and a byte for each. */
static void put_slices(struct data *d) {
    const struct probe_timeline *t = d->t;
    uint64_t from = t->span[0].begin_ns;
    double slice_ns = (double)(t->end_ns - from + 1) / SLICES;
    double *share = lab_alloc((d->tracks + 1) * SLICES * PROBE_STATES, sizeof(*share));
    for (size_t i = 0, track; i < t->span_count; i++) {
        if (track_of(d, &t->span[i], &track))
            slice_span(&t->span[i], track, from, slice_ns, share);
    }
    struct lab_text out = {0};
    for (size_t i = 0; i < (d->tracks + 1) * SLICES; i++) {
        char bytes[PROBE_STATES + 1] = {0};
        size_t n = 1;
        for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++) {
            double part = share[i * PROBE_STATES + (size_t)s];
            if (part < 0.002)
                continue;
            bytes[0] |= (char)(1 << s);
            bytes[n++] = (char)(unsigned char)(part > 1 ? 255 : part * 254 + 1);
        }
        lab_text_add(&out, bytes, n);
    }
    free(share);
    lab_json_object(&d->j, "slices", false);
    lab_json_integer(&d->j, "count", SLICES);
    lab_json_number(&d->j, "from", (double)(from - t->begin_ns));
    lab_json_number(&d->j, "each", slice_ns);
    base64(&d->j, "shares", &out);
    lab_json_end_object(&d->j);
    lab_text_free(&out);
}

/* Names are written once: [outer place, function, file, line] with the numbers of the names. */
static size_t name_of(const char ***names, size_t *count, const char *name) {
    for (size_t i = 0; i < *count; i++) {
        if (strcmp((*names)[i], name) == 0)
            return i;
    }
    *names = lab_grow_one(*names, *count, sizeof(**names));
    (*names)[*count] = name;
    return (*count)++;
}

static void put_places(struct data *d) {
    struct lab_json *j = &d->j;
    const char **names = NULL;
    size_t name_count = 0;
    lab_json_array(j, "places", true);
    for (size_t k = 1; k < d->nodes.room; k++) {
        if (!d->nodes.has[k])
            continue;
        const struct probe_frame *x = probe_stacks_frame(d->r->stacks, (uint32_t)k);
        uint32_t outer = probe_stacks_outer(d->r->stacks, (uint32_t)k);
        const char *file = x->file ? x->file : "", *slash = strrchr(file, '/');
        lab_json_array(j, NULL, true);
        lab_json_integer(j, NULL, place_of(d, outer));
        lab_json_integer(j, NULL, (long long)name_of(&names, &name_count,
                                                     x->function ? x->function : "?"));
        lab_json_integer(j, NULL, (long long)name_of(&names, &name_count,
                                                     slash && slash[1] ? slash + 1 : file));
        lab_json_integer(j, NULL, x->line);
        lab_json_end_array(j);
    }
    lab_json_end_array(j);
    lab_json_array(j, "names", true);
    for (size_t i = 0; i < name_count; i++) {
        char *cut = lab_copy_n(names[i], strnlen(names[i], NAME_MOST));
        lab_json_string(j, NULL, cut);
        free(cut);
    }
    lab_json_end_array(j);
    free(names);
}

void out_html_data(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    struct data d = {.r = r, .t = t};
    char *text;
    size_t bytes;
    d.first = first_that_fits(t);
    d.j.f = open_memstream(&text, &bytes);
    if (!d.j.f)
        lab_out_of_memory();
    choose_tracks(&d);
    choose_gils(&d);
    choose_places(&d);
    lab_json_object(&d.j, NULL, false);
    lab_json_number(&d.j, "length", (double)(t->end_ns - t->begin_ns));
    lab_json_integer(&d.j, "unit", UNIT_NS);
    lab_json_bool(&d.j, "gil", out_has_gil(r));
    if (t->span_count && t->spans_dropped)
        lab_json_number(&d.j, "known", (double)(t->span[0].begin_ns - t->begin_ns));
    if (d.first)
        lab_json_number(&d.j, "exact", (double)(t->span[d.first].begin_ns - t->begin_ns));
    put_threads(&d);
    put_spans(&d);
    if (d.first)
        put_slices(&d);
    put_places(&d);
    lab_json_end_object(&d.j);
    if (fclose(d.j.f) != 0)
        lab_out_of_memory();
    html_json_in_script(f, text);
    free(text);
    free(d.track);
    free(d.gil);
    free(d.thread);
    free(d.place);
    free(d.nodes.has);
}

/* ---- the figure ---- */

static void legend(FILE *f, const struct probe_report *r) {
    fputs("<ul class=\"legend states-legend\">", f);
    for (int s = PROBE_STATE_HOLDS; s < PROBE_STATES; s++) {
        if (!out_total(r->timeline, (enum probe_state)s))
            continue;
        html_printf(f, "<li><button type=\"button\" aria-pressed=\"true\" data-state=\"");
        fprintf(f, "%d\"><i class=\"%s\"></i>%s</button></li>", s,
                out_html_state_class((enum probe_state)s), probe_state_word((enum probe_state)s));
    }
    fputs("</ul>\n", f);
}

static void limits(FILE *f, const struct probe_report *r) {
    const struct probe_timeline *t = r->timeline;
    fputs("<p class=\"note\">", f);
    if (t->spans_dropped) {
        char *dropped = out_html_count(t->spans_dropped);
        fprintf(f, "The log of spans has room for the newest: %s older ones are not in the "
                   "picture (they are in all figures). ", dropped);
        free(dropped);
    }
    size_t first = first_that_fits(t);
    if (first) {
        char *from = out_html_ns(t->span[first].begin_ns - t->begin_ns);
        fprintf(f, "Single spans are there from %s on; before that there are shares of each "
                   "state. <code>--trace</code> has them all. ", from);
        free(from);
    }
    if (t->lock_count > GILS_MOST)
        fprintf(f, "Of %zu GILs those %d that were held longest have tracks. ", t->lock_count,
                GILS_MOST);
    if (t->thread_count > TRACKS_MOST)
        fprintf(f, "Of %zu threads the %d that did most have tracks%s. ", t->thread_count,
                TRACKS_MOST,
                out_has_gil(r) ? "; when another one had the GIL, its track is grey" : "");
    fputs("</p>\n", f);
}

static bool any_worst(const struct probe_timeline *t) {
    size_t i = 0;
    while (i < t->thread_count && !t->thread[i].worst_wait_ns)
        i++;
    return i < t->thread_count;
}

void out_html_timeline(FILE *f, const struct probe_report *r) {
    fputs("<section id=\"timeline\">\n<h2>Timeline</h2>\n<figure class=\"timeline\">\n"
          "<div class=\"tools\"><div class=\"buttons\" role=\"group\" aria-label=\"Zoom\">"
          "<button type=\"button\" data-act=\"in\" title=\"zoom in (+)\">+</button>"
          "<button type=\"button\" data-act=\"out\" title=\"zoom out (\xe2\x88\x92)\">\xe2\x88\x92"
          "</button><button type=\"button\" data-act=\"left\" title=\"earlier (\xe2\x86\x90)\">"
          "\xe2\x86\x90</button><button type=\"button\" data-act=\"right\" "
          "title=\"later (\xe2\x86\x92)\">\xe2\x86\x92</button>"
          "<button type=\"button\" data-act=\"all\" title=\"all of it (0)\">all</button>"
          "<button type=\"button\" data-act=\"worst\" title=\"the longest wait (w)\">"
          "longest wait</button></div>", f);
    legend(f, r);
    fputs("</div>\n<div class=\"stage\"><canvas tabindex=\"0\" role=\"application\" "
          "aria-roledescription=\"timeline\" aria-describedby=\"keys\" "
          "aria-label=\"What each thread did over time\"></canvas>"
          "<div class=\"told\" hidden></div></div>\n<div class=\"strip\"><canvas "
          "aria-hidden=\"true\"></canvas></div>\n"
          "<p class=\"now\" role=\"status\" aria-live=\"polite\"></p>\n"
          "<p class=\"note\" id=\"keys\">Drag to move; pinch, or turn the wheel with Ctrl, to "
          "zoom; drag with Shift to zoom into a stretch. Keys: <kbd>\xe2\x86\x90</kbd> "
          "<kbd>\xe2\x86\x92</kbd> move, <kbd>+</kbd> <kbd>\xe2\x88\x92</kbd> zoom, "
          "<kbd>0</kbd> all, <kbd>\xe2\x86\x91</kbd> <kbd>\xe2\x86\x93</kbd> choose a track, "
          "<kbd>n</kbd> <kbd>p</kbd> its next and previous span", f);
    fputs(any_worst(r->timeline) ? ", <kbd>w</kbd> the longest wait.</p>\n" : ".</p>\n", f);
    fputs("<noscript><p class=\"warning\">The timeline needs JavaScript; its sums are in the "
          "tables.</p></noscript>\n", f);
    limits(f, r);
    fputs("</figure>\n</section>\n", f);
}
