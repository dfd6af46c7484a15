/* SPDX-License-Identifier: MIT */
/* The table that CPython 3.13 and later keep at the beginning of _PyRuntime: _Py_DebugOffsets, a
 * cookie and 64-bit words. Which word says what differs by minor version. */
#include <errno.h>
#include <string.h>

#include "probe/python_inside.h"

enum field {
    X, /* of no use here */
    RUNTIME_HEAD,
    INTERP_ID,
    INTERP_NEXT,
    INTERP_THREADS,
    INTERP_GIL,
    GIL_BEGIN,
    GIL_ENABLED,
    GIL_LOCKED,
    GIL_HOLDER,
    THREAD_NEXT,
    THREAD_INTERP,
    THREAD_FRAME,
    THREAD_ID,
    THREAD_NATIVE_ID,
    FRAME_SIZE,
    FRAME_PREVIOUS,
    FRAME_CODE,
    FRAME_AT,
    FRAME_LOCALS,
    FRAME_OWNER,
    FRAME_BYTECODE,
    CODE_FILE,
    CODE_NAME,
    CODE_QUALNAME,
    CODE_LINES,
    CODE_FIRST_LINE,
    CODE_LOCALS,
    CODE_ADAPTIVE,
    CODE_COPIES,
    OBJECT_TYPE,
    TYPE_NAME,
    TUPLE_ITEMS,
    VAR_SIZE,
    BYTES_DATA,
    TEXT_STATE,
    TEXT_LENGTH,
    TEXT_ASCII,
    FIELDS
};

/* Where a type that Python code has made keeps what its instances share: it is not in the table;
 * so far from the name in 3.13, with and without a GIL. */
enum { KEYS_AFTER_NAME = 856 };

enum { WORDS = 128, FIRST_WORD = 3 }; /* after the cookie, the version, and "free-threaded" */

/* The words from FIRST_WORD on. A line is one structure, which begins with its size. */
static const unsigned char order_13[] = {
    X, X, RUNTIME_HEAD,
    X, INTERP_ID, INTERP_NEXT, INTERP_THREADS, X, X, X, X, INTERP_GIL, GIL_BEGIN, GIL_ENABLED,
        GIL_LOCKED, GIL_HOLDER,
    X, X, THREAD_NEXT, THREAD_INTERP, THREAD_FRAME, THREAD_ID, THREAD_NATIVE_ID, X, X,
    FRAME_SIZE, FRAME_PREVIOUS, FRAME_CODE, FRAME_AT, FRAME_LOCALS, FRAME_OWNER,
    X, CODE_FILE, CODE_NAME, CODE_QUALNAME, CODE_LINES, CODE_FIRST_LINE, X, CODE_LOCALS, X,
        CODE_ADAPTIVE,
    X, OBJECT_TYPE,
    X, TYPE_NAME, X, X,
    X, TUPLE_ITEMS, X,
    X, X, X, /* list */
    X, X, X, /* dict */
    X, X,    /* float */
    X, X, X, /* int */
    X, VAR_SIZE, BYTES_DATA,
    X, TEXT_STATE, TEXT_LENGTH, TEXT_ASCII,
};

static const unsigned char order_14[] = {
    X, X, RUNTIME_HEAD,
    X, INTERP_ID, INTERP_NEXT, INTERP_THREADS, X, X, X, X, X, INTERP_GIL, GIL_BEGIN, GIL_ENABLED,
        GIL_LOCKED, GIL_HOLDER, X, X,
    X, X, THREAD_NEXT, THREAD_INTERP, THREAD_FRAME, THREAD_ID, THREAD_NATIVE_ID, X, X,
    FRAME_SIZE, FRAME_PREVIOUS, FRAME_CODE, FRAME_AT, FRAME_LOCALS, FRAME_OWNER, X,
        FRAME_BYTECODE,
    X, CODE_FILE, CODE_NAME, CODE_QUALNAME, CODE_LINES, CODE_FIRST_LINE, X, CODE_LOCALS, X,
        CODE_ADAPTIVE, CODE_COPIES,
    X, OBJECT_TYPE,
    X, TYPE_NAME, X, X,
    X, TUPLE_ITEMS, X,
    X, X, X,    /* list */
    X, X, X, X, /* set */
    X, X, X,    /* dict */
    X, X,       /* float */
    X, X, X,    /* int */
    X, VAR_SIZE, BYTES_DATA,
    X, TEXT_STATE, TEXT_LENGTH, TEXT_ASCII,
};

static const unsigned char order_15[] = {
    X, X, RUNTIME_HEAD,
    X, INTERP_ID, INTERP_NEXT, INTERP_THREADS, X, X, X, X, X, INTERP_GIL, GIL_BEGIN, GIL_ENABLED,
        GIL_LOCKED, GIL_HOLDER, X, X,
    X, X, THREAD_NEXT, THREAD_INTERP, THREAD_FRAME, X, X, X, THREAD_ID, THREAD_NATIVE_ID, X, X, X,
        X, X, X, X,
    FRAME_SIZE, FRAME_PREVIOUS, FRAME_CODE, FRAME_AT, FRAME_LOCALS, FRAME_OWNER, X,
        FRAME_BYTECODE,
    X, CODE_FILE, CODE_NAME, CODE_QUALNAME, CODE_LINES, CODE_FIRST_LINE, X, CODE_LOCALS, X,
        CODE_ADAPTIVE, CODE_COPIES,
    X, OBJECT_TYPE,
    X, TYPE_NAME, X, X, X, X,
    X, X,       /* heap type */
    X, TUPLE_ITEMS, X,
    X, X, X,    /* list */
    X, X, X, X, /* set */
    X, X, X,    /* dict */
    X, X,       /* float */
    X, X, X,    /* int */
    X, VAR_SIZE, BYTES_DATA,
    X, TEXT_STATE, TEXT_LENGTH, TEXT_ASCII,
};

static const struct {
    int minor;
    const unsigned char *order;
    size_t count;
} orders[] = {
    {13, order_13, sizeof(order_13)},
    {14, order_14, sizeof(order_14)},
    {15, order_15, sizeof(order_15)},
};

/* The GIL's structure, after what the table names: the switch number lies after `locked`, then two
 * conditions with their mutexes, of 48 and 40 bytes. */
static void fill_gil(struct python_layout *l, const uint64_t *field) {
    uint64_t begin = field[GIL_LOCKED] >= field[GIL_BEGIN] ? field[GIL_BEGIN] : 0;
    l->interp_gil = (int)field[INTERP_GIL];
    l->gil_locked = (int)(field[GIL_LOCKED] - begin);
    l->gil_holder = (int)(field[GIL_HOLDER] - begin);
    l->gil_interval = l->gil_holder - 8;
    l->gil_number = l->gil_locked + 8;
    l->gil_size = l->gil_number + 8 + 2 * (48 + 40);
    l->gil_enabled = l->free_threaded ? (int)field[GIL_ENABLED] : -1;
}

static void fill(struct python_layout *l, const uint64_t *field) {
    fill_gil(l, field);
    l->runtime_head = (int)field[RUNTIME_HEAD];
    l->runtime_gil = -1;
    l->interp_next = (int)field[INTERP_NEXT];
    l->interp_id = (int)field[INTERP_ID];
    l->interp_threads = (int)field[INTERP_THREADS];
    l->thread_next = (int)field[THREAD_NEXT];
    l->thread_interp = (int)field[THREAD_INTERP];
    l->thread_frame = (int)field[THREAD_FRAME];
    l->thread_cframe = l->cframe_frame = -1;
    l->thread_id = (int)field[THREAD_ID];
    l->thread_native_id = (int)field[THREAD_NATIVE_ID];
    l->frame_previous = (int)field[FRAME_PREVIOUS];
    l->frame_code = (int)field[FRAME_CODE];
    l->frame_at = (int)field[FRAME_AT];
    l->frame_owner = (int)field[FRAME_OWNER];
    l->frame_locals = l->frame_size = (int)field[FRAME_LOCALS];
    l->frame_bytecode = l->free_threaded && field[FRAME_BYTECODE] ? (int)field[FRAME_BYTECODE] : -1;
    l->var_size = (int)field[VAR_SIZE];
    l->code_name = (int)field[CODE_NAME];
    l->code_file = (int)field[CODE_FILE];
    l->code_qualname = (int)field[CODE_QUALNAME];
    l->code_first_line = (int)field[CODE_FIRST_LINE];
    l->code_lines = (int)field[CODE_LINES];
    l->code_bytes = -1;
    l->code_adaptive = (int)field[CODE_ADAPTIVE];
    l->code_copies = l->free_threaded && field[CODE_COPIES] ? (int)field[CODE_COPIES] : -1;
    l->code_locals = (int)field[CODE_LOCALS];
    l->code_names = l->var_size + 16; /* after the constants */
    l->tuple_items = (int)field[TUPLE_ITEMS];
    l->object_type = (int)field[OBJECT_TYPE];
    l->type_name = (int)field[TYPE_NAME];
    /* 3.15 has one more member before it. */
    l->type_keys = l->type_name + KEYS_AFTER_NAME + (l->minor >= 15 ? 8 : 0);
    l->bytes_data = (int)field[BYTES_DATA];
    l->text_state = (int)field[TEXT_STATE];
    l->text_length = (int)field[TEXT_LENGTH];
    l->text_ascii = (int)field[TEXT_ASCII];
    l->text_compact = l->text_ascii + 16; /* its UTF-8 form: a length and a pointer */
}

int python_layout_debug(pid_t pid, uint64_t runtime, struct python_layout *out, uint64_t *version) {
    uint64_t words[WORDS], field[FIELDS] = {0};
    int error = probe_read_whole(pid, runtime, words, sizeof(words));
    if (error)
        return error;
    if (memcmp(words, "xdebugpy", 8) != 0)
        return -ENOENT;
    *version = words[1];
    int minor = (int)(*version >> 16 & 0xff);
    size_t which = 0, count = sizeof(orders) / sizeof(orders[0]);
    while (which < count && orders[which].minor != minor)
        which++;
    if (*version >> 24 != 3 || which == count)
        return -EPROTO;
    for (size_t i = 0; i < orders[which].count; i++) {
        uint64_t value = words[FIRST_WORD + i];
        if (value > 1 << 30)
            return -EPROTO;
        field[orders[which].order[i]] = value;
    }
    /* Structures that are read as a whole have sane sizes. */
    if (field[FRAME_LOCALS] - 1 >= 1024 || field[CODE_ADAPTIVE] - 1 >= 1024 ||
        field[TEXT_ASCII] - 1 >= 256)
        return -EPROTO;
    memset(out, 0, sizeof(*out));
    out->major = 3;
    out->minor = minor;
    out->free_threaded = words[2] != 0;
    fill(out, field);
    return 0;
}

const struct python_layout *python_layout_find(int major, int minor) {
    for (int i = 0; i < python_layout_count; i++) {
        if (python_layouts[i].major == major && python_layouts[i].minor == minor)
            return &python_layouts[i];
    }
    return NULL;
}
