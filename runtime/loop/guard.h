// The guards of a guarded program (`ftc compile --guard`): behind each buffer's slack stands a page that
// nobody may touch, and what lies around the buffer is filled with a pattern of NaN and negative numbers.
// Who reads past the slack, or writes there, gets SIGSEGV, and standard error says at which buffer; a write
// into the slack is found after the call; what is read from there, or from where nothing was written, spoils
// results.
#ifndef FTC_RUNTIME_GUARD_H
#define FTC_RUNTIME_GUARD_H

#include "ir/step_abi.h"
#include "runtime/loop/memory.h"
#include "runtime/status.h"

// Guards a buffer that ftc_memory_place has placed for a guarded program in a mapping. `name` is copied.
void ftc_guard_add(void *data, size_t bytes, const char *name);

// Moves a guarded buffer so that its new size, at most the first one, ends before the page. What it held is
// lost. Its new place.
void *ftc_guard_resize(void *data, size_t bytes);

// Fills the guarded buffers of a mapping with the pattern.
void ftc_guard_spoil(const ftc_memory *memory);

// Takes the guards of a mapping away, before it is unmapped.
void ftc_guard_forget(const ftc_memory *memory);

// Fails, naming it, when what lies around a guarded buffer is no longer as it was; `who` wrote it.
ftc_status ftc_guard_check(const char *who);

// Maps the arena of one entry of a guarded program and guards what lies in it and each thread's scratch.
ftc_status ftc_guard_map_arena(const ftc_entry *entry, int32_t threads, ftc_memory *out);

#endif
