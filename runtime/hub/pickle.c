#include "runtime/hub/pickle.h"

#include "ir/base/alloc.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
    NOTHING, // None, and what nobody here asks for: floats, the state of an object
    NUMBER,  // int, bool
    LONG,    // an integer of more than 64 bits
    TEXT,
    TUPLE,
    LIST,
    DICT,    // keys and values in turns
    GLOBAL,  // a known name
    STORAGE, // items: class, key, number of elements
    TENSOR,  // items: storage, offset, sizes, strides
    MARK,
} value_kind;

typedef struct value value;
struct value {
    value_kind kind;
    int64_t number;   // NUMBER; GLOBAL: its place in GLOBALS
    const char *text; // TEXT, which belongs to the pickle
    value **items;    // [n]
    size_t n, capacity;
};

struct ftc_pickle {
    const char *path, *data;
    size_t size, at;
    value **values; // [n_values] all of them, to be freed
    size_t n_values, values_capacity;
    value **stack; // [depth]
    size_t depth, stack_capacity;
    value **memo; // [n_memo]
    size_t n_memo, memo_capacity;
    value *result;
    ftc_pickle_tensor *tensors; // ftc_pickle_tensors
    int32_t n_tensors;
};

// --- names --------------------------------------------------------------------------------------------

typedef enum { MAKES_DICT, MAKES_TENSOR, MAKES_PARAMETER, IS_STORAGE } meaning;

static const struct {
    const char *module, *name;
    meaning meaning;
    ftc_safe_dtype dtype; // of a storage
    int32_t element_bytes;
} GLOBALS[] = {
    {"collections", "OrderedDict", MAKES_DICT, 0, 0},
    {"torch._utils", "_rebuild_tensor", MAKES_TENSOR, 0, 0},
    {"torch._utils", "_rebuild_tensor_v2", MAKES_TENSOR, 0, 0},
    {"torch._utils", "_rebuild_parameter", MAKES_PARAMETER, 0, 0},
    {"torch", "FloatStorage", IS_STORAGE, FTC_SAFE_F32, 4},
    {"torch", "HalfStorage", IS_STORAGE, FTC_SAFE_F16, 2},
    {"torch", "BFloat16Storage", IS_STORAGE, FTC_SAFE_BF16, 2},
    {"torch", "DoubleStorage", IS_STORAGE, FTC_SAFE_F64, 8},
    {"torch", "IntStorage", IS_STORAGE, FTC_SAFE_I32, 4},
    {"torch", "LongStorage", IS_STORAGE, FTC_SAFE_OTHER, 8},
    {"torch", "ShortStorage", IS_STORAGE, FTC_SAFE_OTHER, 2},
    {"torch", "CharStorage", IS_STORAGE, FTC_SAFE_OTHER, 1},
    {"torch", "ByteStorage", IS_STORAGE, FTC_SAFE_OTHER, 1},
    {"torch", "BoolStorage", IS_STORAGE, FTC_SAFE_OTHER, 1},
};

// --- the machine --------------------------------------------------------------------------------------

static ftc_status broken(const ftc_pickle *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static ftc_status broken(const ftc_pickle *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *what = ftc_format_args(format, args);
    va_end(args);
    ftc_status status = ftc_status_make(FTC_BAD_INPUT, "%s: %s", p->path, what);
    free(what);
    return status;
}

static ftc_status malformed(const ftc_pickle *p) {
    return broken(p, "the pickle inside is broken at its byte %zu; is the file complete?", p->at);
}

static value *new_value(ftc_pickle *p, value_kind kind) {
    value *v = ftc_alloc(1, sizeof *v);
    v->kind = kind;
    p->values = ftc_grow(p->values, &p->values_capacity, p->n_values + 1, sizeof(value *));
    return p->values[p->n_values++] = v;
}

static void push(ftc_pickle *p, value *v) {
    p->stack = ftc_grow(p->stack, &p->stack_capacity, p->depth + 1, sizeof(value *));
    p->stack[p->depth++] = v;
}

static void add_item(value *v, value *item) {
    v->items = ftc_grow(v->items, &v->capacity, v->n + 1, sizeof(value *));
    v->items[v->n++] = item;
}

static void push_number(ftc_pickle *p, int64_t number) {
    value *v = new_value(p, NUMBER);
    v->number = number;
    push(p, v);
}

// The value `below` the top; NULL: there is none, or a mark.
static value *peek(const ftc_pickle *p, size_t below) {
    value *v = below < p->depth ? p->stack[p->depth - 1 - below] : NULL;
    return v && v->kind != MARK ? v : NULL;
}

// Little-endian, `bytes` of at most 8.
static ftc_status read_number(ftc_pickle *p, size_t bytes, uint64_t *out) {
    uint64_t number = 0;
    if (bytes > p->size - p->at) return malformed(p);
    for (size_t i = 0; i < bytes; i++) number |= (uint64_t)(uint8_t)p->data[p->at + i] << 8 * i;
    p->at += bytes;
    *out = number;
    return FTC_STATUS_OK;
}

static ftc_status read_text(ftc_pickle *p, size_t size_bytes) {
    uint64_t size;
    FTC_RETURN_IF_ERROR(read_number(p, size_bytes, &size));
    if (size > p->size - p->at || memchr(p->data + p->at, 0, size)) return malformed(p);
    char *text = ftc_strndup(p->data + p->at, size);
    value *v = new_value(p, TEXT);
    v->text = text;
    push(p, v);
    p->at += size;
    return FTC_STATUS_OK;
}

// A line without its end; valid while the data is.
static ftc_status read_line(ftc_pickle *p, const char **line, size_t *n) {
    const char *end = memchr(p->data + p->at, '\n', p->size - p->at);
    if (!end) return malformed(p);
    *line = p->data + p->at;
    *n = (size_t)(end - *line);
    p->at += *n + 1;
    return FTC_STATUS_OK;
}

static bool is_text(const char *text, const char *bytes, size_t n) {
    return strlen(text) == n && memcmp(text, bytes, n) == 0;
}

static ftc_status read_global(ftc_pickle *p) {
    const char *module, *name;
    size_t n_module, n_name;
    FTC_RETURN_IF_ERROR(read_line(p, &module, &n_module));
    FTC_RETURN_IF_ERROR(read_line(p, &name, &n_name));
    for (size_t i = 0; i < sizeof GLOBALS / sizeof *GLOBALS; i++) {
        if (!is_text(GLOBALS[i].module, module, n_module) || !is_text(GLOBALS[i].name, name, n_name))
            continue;
        value *v = new_value(p, GLOBAL);
        v->number = (int64_t)i;
        push(p, v);
        return FTC_STATUS_OK;
    }
    return broken(
        p,
        "its pickle asks for %.*s.%.*s, which is refused: it may hold tensors alone; save the weights "
        "as model.safetensors",
        (int)(n_module < 100 ? n_module : 100), module, (int)(n_name < 100 ? n_name : 100), name);
}

static ftc_status set_memo(ftc_pickle *p, uint64_t index) {
    value *v = peek(p, 0);
    if (!v || index > p->n_memo) return malformed(p); // each is the next, or one that is there
    p->memo = ftc_grow(p->memo, &p->memo_capacity, index + 1, sizeof(value *));
    p->memo[index] = v;
    if (index == p->n_memo) p->n_memo++;
    return FTC_STATUS_OK;
}

static ftc_status get_memo(ftc_pickle *p, uint64_t index) {
    if (index >= p->n_memo) return malformed(p);
    push(p, p->memo[index]);
    return FTC_STATUS_OK;
}

// Where the values behind the topmost mark begin; pops nothing.
static ftc_status find_mark(const ftc_pickle *p, size_t *begin) {
    for (size_t i = p->depth; i > 0; i--)
        if (p->stack[i - 1]->kind == MARK) {
            *begin = i;
            return FTC_STATUS_OK;
        }
    return malformed(p);
}

// Makes a tuple of the values from `begin` on; `drop`: what is popped before them (a mark).
static void make_tuple(ftc_pickle *p, size_t begin, size_t drop) {
    value *v = new_value(p, TUPLE);
    for (size_t i = begin; i < p->depth; i++) add_item(v, p->stack[i]);
    p->depth = begin - drop;
    push(p, v);
}

// Moves the values behind the mark into the list or dictionary under it.
static ftc_status add_items(ftc_pickle *p, value_kind kind) {
    size_t begin;
    FTC_RETURN_IF_ERROR(find_mark(p, &begin));
    if (begin < 2 || p->stack[begin - 2]->kind != kind || (kind == DICT && (p->depth - begin) % 2))
        return malformed(p);
    for (size_t i = begin; i < p->depth; i++) add_item(p->stack[begin - 2], p->stack[i]);
    p->depth = begin - 1;
    return FTC_STATUS_OK;
}

// Moves the `n` topmost values into the list or dictionary under them.
static ftc_status add_top(ftc_pickle *p, value_kind kind, size_t n) {
    value *to = peek(p, n);
    if (!to || to->kind != kind || !peek(p, 0) || !peek(p, n - 1)) return malformed(p);
    for (size_t i = n; i > 0; i--) add_item(to, peek(p, i - 1));
    p->depth -= n;
    return FTC_STATUS_OK;
}

// ('storage', class, key, device, elements[, view]): PyTorch's persistent ids.
static ftc_status make_storage(ftc_pickle *p) {
    value *id = peek(p, 0);
    bool ok = id && id->kind == TUPLE && id->n >= 5 && id->items[0]->kind == TEXT &&
              strcmp(id->items[0]->text, "storage") == 0 && id->items[1]->kind == GLOBAL &&
              GLOBALS[id->items[1]->number].meaning == IS_STORAGE && id->items[2]->kind == TEXT &&
              id->items[4]->kind == NUMBER && id->items[4]->number >= 0;
    if (!ok) return malformed(p);
    if (id->n > 5 && id->items[5]->kind != NOTHING)
        return broken(p, "a storage inside is a part of another, which is not read; save the weights as "
                         "model.safetensors");
    value *v = new_value(p, STORAGE);
    add_item(v, id->items[1]);
    add_item(v, id->items[2]);
    add_item(v, id->items[4]);
    p->stack[p->depth - 1] = v;
    return FTC_STATUS_OK;
}

static bool is_shape(const value *v) {
    for (size_t i = 0; v->kind == TUPLE && i < v->n; i++)
        if (v->items[i]->kind != NUMBER || v->items[i]->number < 0) return false;
    return v->kind == TUPLE && v->n <= FTC_SAFETENSORS_MAX_RANK;
}

// Calls the known name under the tuple of arguments: the one thing that is done when a pickle asks.
static ftc_status reduce(ftc_pickle *p) {
    value *args = peek(p, 0), *what = peek(p, 1), *made;
    if (!args || !what || args->kind != TUPLE || what->kind != GLOBAL) return malformed(p);
    value **a = args->items;
    switch (GLOBALS[what->number].meaning) {
    case MAKES_DICT:
        if (args->n) return malformed(p); // of pairs: nobody writes it
        made = new_value(p, DICT);
        break;
    case MAKES_TENSOR:
        if (args->n < 4 || a[0]->kind != STORAGE || a[1]->kind != NUMBER || a[1]->number < 0 ||
            !is_shape(a[2]) || !is_shape(a[3]) || a[2]->n != a[3]->n)
            return malformed(p);
        made = new_value(p, TENSOR);
        for (size_t i = 0; i < 4; i++) add_item(made, a[i]);
        break;
    case MAKES_PARAMETER:
        if (args->n < 1 || a[0]->kind != TENSOR) return malformed(p);
        made = a[0];
        break;
    default: return malformed(p);
    }
    p->depth -= 2;
    push(p, made);
    return FTC_STATUS_OK;
}

// An integer of any length: its value, or that it is one.
static ftc_status read_long(ftc_pickle *p) {
    uint64_t size = 0, bits = 0;
    FTC_RETURN_IF_ERROR(read_number(p, 1, &size));
    if (size > 8) {
        if (size > p->size - p->at) return malformed(p);
        p->at += size;
        push(p, new_value(p, LONG));
        return FTC_STATUS_OK;
    }
    FTC_RETURN_IF_ERROR(read_number(p, size, &bits));
    bool negative = size && bits >> (8 * size - 1) & 1;
    if (negative && size < 8) bits |= ~(uint64_t)0 << 8 * size;
    push_number(p, (int64_t)bits);
    return FTC_STATUS_OK;
}

static ftc_status build(ftc_pickle *p) { // the state of a dictionary: _metadata
    value *state = peek(p, 0), *object = peek(p, 1);
    if (!state || !object || object->kind != DICT) return malformed(p);
    p->depth--;
    return FTC_STATUS_OK;
}

// Opcodes by their letters in Python's pickletools.
enum {
    PROTO = 0x80,
    NEWTRUE = 0x88,
    NEWFALSE = 0x89,
    LONG1 = 0x8A,
    TUPLE1 = 0x85,
    TUPLE2 = 0x86,
    TUPLE3 = 0x87
};

// Opcodes that push or make one value.
static ftc_status make_one(ftc_pickle *p, uint8_t opcode) {
    uint64_t n = 0;
    switch (opcode) {
    case '(': push(p, new_value(p, MARK)); break;
    case '}': push(p, new_value(p, DICT)); break;
    case ']': push(p, new_value(p, LIST)); break;
    case ')': push(p, new_value(p, TUPLE)); break;
    case 'N': push(p, new_value(p, NOTHING)); break;
    case NEWTRUE:
    case NEWFALSE: push_number(p, opcode == NEWTRUE); break;
    case 'G': // a float
        FTC_RETURN_IF_ERROR(read_number(p, 8, &n));
        push(p, new_value(p, NOTHING));
        break;
    case 'K':
    case 'M':
    case 'J':
        FTC_RETURN_IF_ERROR(read_number(p, opcode == 'K' ? 1 : opcode == 'M' ? 2 : 4, &n));
        push_number(p, opcode == 'J' ? (int32_t)n : (int64_t)n);
        break;
    case LONG1: return read_long(p);
    case 'X':
    case 'T': return read_text(p, 4);
    case 'U': return read_text(p, 1);
    case 'c': return read_global(p);
    default:
        return broken(
            p,
            "its pickle has the opcode 0x%02x at byte %zu, which is refused: it may hold tensors alone; "
            "save the weights as model.safetensors",
            opcode, p->at - 1);
    }
    return FTC_STATUS_OK;
}

static ftc_status execute(ftc_pickle *p, uint8_t opcode) {
    uint64_t n;
    size_t begin;
    switch (opcode) {
    case PROTO: return read_number(p, 1, &n);
    case 'q':
    case 'r': FTC_RETURN_IF_ERROR(read_number(p, opcode == 'q' ? 1 : 4, &n)); return set_memo(p, n);
    case 'h':
    case 'j': FTC_RETURN_IF_ERROR(read_number(p, opcode == 'h' ? 1 : 4, &n)); return get_memo(p, n);
    case 't':
        FTC_RETURN_IF_ERROR(find_mark(p, &begin));
        make_tuple(p, begin, 1);
        return FTC_STATUS_OK;
    case TUPLE1:
    case TUPLE2:
    case TUPLE3:
        n = (uint64_t)opcode - TUPLE1 + 1;
        for (size_t i = 0; i < n; i++)
            if (!peek(p, i)) return malformed(p);
        make_tuple(p, p->depth - n, 0);
        return FTC_STATUS_OK;
    case 'Q': return make_storage(p);
    case 'R': return reduce(p);
    case 'b': return build(p);
    case 'u': return add_items(p, DICT);
    case 'e': return add_items(p, LIST);
    case 's': return add_top(p, DICT, 2);
    case 'a': return add_top(p, LIST, 1);
    default: return make_one(p, opcode);
    }
}

ftc_status ftc_pickle_read(const char *path, const char *data, size_t size, ftc_pickle **out,
                           size_t *consumed) {
    ftc_pickle *p = ftc_alloc(1, sizeof *p);
    *p = (ftc_pickle){.path = path, .data = data, .size = size};
    ftc_status status = FTC_STATUS_OK;
    while (status.code == FTC_OK && !p->result) {
        if (p->at == p->size) {
            status = malformed(p);
        } else if (p->data[p->at] == '.') {
            p->at++;
            p->result = peek(p, 0);
            if (!p->result) status = malformed(p);
        } else {
            status = execute(p, (uint8_t)p->data[p->at++]);
        }
    }
    if (status.code != FTC_OK) {
        ftc_pickle_free(p);
        return status;
    }
    *consumed = p->at;
    *out = p;
    return FTC_STATUS_OK;
}

void ftc_pickle_free(ftc_pickle *p) {
    if (!p) return;
    for (size_t i = 0; i < p->n_values; i++) {
        free((char *)p->values[i]->text);
        free(p->values[i]->items);
        free(p->values[i]);
    }
    free(p->values);
    free(p->stack);
    free(p->memo);
    free(p->tensors);
    free(p);
}

// --- what it holds ------------------------------------------------------------------------------------

static void describe(const char *name, const value *tensor, ftc_pickle_tensor *out) {
    const value *storage = tensor->items[0];
    int64_t class = storage->items[0]->number;
    *out = (ftc_pickle_tensor){.name = name,
                               .storage = storage->items[1]->text,
                               .storage_class = GLOBALS[class].name,
                               .dtype = GLOBALS[class].dtype,
                               .element_bytes = GLOBALS[class].element_bytes,
                               .storage_elements = storage->items[2]->number,
                               .offset = tensor->items[1]->number,
                               .rank = (int32_t)tensor->items[2]->n};
    for (int32_t i = 0; i < out->rank; i++) {
        out->dims[i] = tensor->items[2]->items[i]->number;
        out->strides[i] = tensor->items[3]->items[i]->number;
    }
}

// A dictionary without tensors: of a checkpoint of some training loop, they lie in one of its entries.
static ftc_status no_tensors(const ftc_pickle *p, const value *dict) {
    for (size_t i = 0; i + 1 < dict->n; i += 2)
        if (dict->items[i]->kind == TEXT && dict->items[i + 1]->kind == DICT)
            return broken(p, "its tensors lie in its entry \"%s\"; save that by itself (torch.save)",
                          dict->items[i]->text);
    return broken(p, "there is no tensor in it");
}

ftc_status ftc_pickle_tensors(ftc_pickle *p, const ftc_pickle_tensor **out, int32_t *n) {
    const value *dict = p->result;
    if (dict->kind != DICT)
        return broken(p, "is no dictionary of tensors; save the model's state_dict, or model.safetensors");
    p->tensors = ftc_alloc(dict->n / 2 + 1, sizeof *p->tensors);
    for (size_t i = 0; i + 1 < dict->n; i += 2)
        if (dict->items[i]->kind == TEXT && dict->items[i + 1]->kind == TENSOR)
            describe(dict->items[i]->text, dict->items[i + 1], &p->tensors[p->n_tensors++]);
    if (!p->n_tensors) return no_tensors(p, dict);
    *out = p->tensors;
    *n = p->n_tensors;
    return FTC_STATUS_OK;
}

const char *ftc_pickle_text(const ftc_pickle *p, size_t index) {
    const value *list = p->result;
    if (list->kind != LIST || index >= list->n || list->items[index]->kind != TEXT) return NULL;
    return list->items[index]->text;
}

int32_t ftc_pickle_storage(const ftc_pickle *p, const char *key, int64_t *elements) {
    for (size_t i = 0; i < p->n_values; i++) {
        const value *v = p->values[i];
        if (v->kind != STORAGE || strcmp(v->items[1]->text, key) != 0) continue;
        *elements = v->items[2]->number;
        return GLOBALS[v->items[0]->number].element_bytes;
    }
    return 0;
}
