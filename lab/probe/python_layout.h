/* SPDX-License-Identifier: MIT */
/* Where things are in the structures of one version of CPython: offsets in bytes, -1 for what it
 * does not have. */
#ifndef HEDDLE_LAB_PROBE_PYTHON_LAYOUT_H
#define HEDDLE_LAB_PROBE_PYTHON_LAYOUT_H

#include <stdbool.h>

struct python_layout {
    int major, minor;
    bool free_threaded;

    /* The runtime, _PyRuntime (3.7 and later): its list of interpreters, and its GIL. */
    int runtime_head, runtime_gil;

    /* PyInterpreterState. `interp_gil` holds a pointer. */
    int interp_next, interp_id, interp_threads, interp_gil;

    /* PyThreadState. Its frame, or what leads to it; what the C library and what the kernel call
     * the thread. */
    int thread_next, thread_interp, thread_frame, thread_cframe, thread_id, thread_native_id;
    int cframe_frame;

    int gil_interval, gil_holder, gil_locked, gil_number, gil_size;
    int gil_enabled; /* of a free-threaded build; its 0 is -1 here, too */

    /* PyFrameObject, from 3.11 on _PyInterpreterFrame. `frame_at`: the last instruction as an index
     * (int), from 3.11 on its address. */
    int frame_previous, frame_code, frame_at, frame_owner, frame_size;
    int frame_locals;   /* its variables, the arguments first */
    int frame_bytecode; /* which copy of the code a thread of a free-threaded build runs */

    /* PyCodeObject. `code_bytes` points to an object, `code_adaptive` is where the code begins. */
    int code_name, code_file, code_qualname, code_first_line, code_lines, code_bytes, code_adaptive;
    int code_copies; /* the copies for threads of a free-threaded build */
    int code_names, code_locals; /* tuples of texts */
    int tuple_items;

    int object_type, type_name, var_size, bytes_data;
    int type_keys; /* those that instances share */
    int text_length, text_state, text_ascii, text_compact; /* the last two: sizes */
};

/* The versions that do not say it themselves. */
extern const struct python_layout python_layouts[];
extern const int python_layout_count;

#endif
