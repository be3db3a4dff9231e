// The call table of an entry (compiler/emit/entry.c) names the function of each kernel by relocations. From
// there relocations and calls lead on: to functions, and to tables of functions. Objects of others, which lie
// in sections of the artifact, are images of their own; what one leaves undefined another defines.
#include "compiler/codegen/listing.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llvm-c/Disassembler.h>

#include "compiler/codegen/llvm.h"
#include "compiler/codegen/object.h"
#include "ir/base/alloc.h"

typedef struct {
    uint64_t target; // index of the section that it changes
    uint64_t offset;
    uint64_t symbol;
    int64_t addend; // to the place that is meant: what an instruction's end adds is taken off
} relocation;

typedef struct {
    uint64_t at; // offset in the function
    char *text;
    int64_t target; // offset in the function that it jumps to; -1: none
} instruction;

typedef struct {
    int image;
    uint64_t section, start, size;
    const char *name;
    bool is_read, is_reached; // is_reached: by the kernel at hand
    int32_t *calls;           // [n_calls] functions that it calls, directly or through tables
    size_t n_calls, calls_capacity;
    int32_t first_loop, n_loops;
} function;

typedef struct ftc_code_image {
    char *owned; // NULL: the caller's bytes
    const char *bytes;
    size_t size;
    Elf64_Ehdr header;
    Elf64_Shdr *sections;
    Elf64_Sym *symbols;
    size_t n_symbols;
    const char *names; // of the symbols
    size_t names_size;
    relocation *relocations;
    size_t n_relocations;
} image;

typedef struct {
    image *images;
    int n_images;
    function *functions;
    size_t n_functions, functions_capacity;
    ftc_listed_loop *loops;
    size_t n_loops, loops_capacity;
    LLVMDisasmContextRef disassembler;
    bool is_x86; // its instructions; else AArch64's
    // While an instruction is read
    const function *in;
    int64_t target; // offset in its section that it branches to; -1: none
    char label[32];
} reading;

// --- images -------------------------------------------------------------------------------------------

static bool lies_in(size_t size, uint64_t at, uint64_t bytes) {
    return at <= size && bytes <= size - at;
}

static const char *symbol_name(const image *m, const Elf64_Sym *symbol) {
    if (symbol->st_name >= m->names_size ||
        !memchr(m->names + symbol->st_name, 0, m->names_size - symbol->st_name))
        return "";
    return m->names + symbol->st_name;
}

// A copy of a section's entries of `each` bytes, aligned.
static void *copy_entries(const image *m, const Elf64_Shdr *section, size_t each, size_t *n) {
    *n = section->sh_size / each;
    void *list = ftc_alloc(*n + 1, each);
    memcpy(list, m->bytes + section->sh_offset, *n * each);
    return list;
}

static void add_relocations(image *m, const Elf64_Shdr *section) {
    size_t n;
    Elf64_Rela *list = copy_entries(m, section, sizeof *list, &n);
    m->relocations = ftc_realloc(m->relocations, m->n_relocations + n, sizeof *m->relocations);
    for (size_t i = 0; i < n; i++) {
        uint64_t type = ELF64_R_TYPE(list[i].r_info);
        bool is_relative = m->header.e_machine == EM_X86_64 &&
                           (type == R_X86_64_PC32 || type == R_X86_64_PLT32 || type == R_X86_64_GOTPCREL ||
                            type == R_X86_64_GOTPCRELX || type == R_X86_64_REX_GOTPCRELX);
        m->relocations[m->n_relocations++] =
            (relocation){section->sh_info, list[i].r_offset, ELF64_R_SYM(list[i].r_info),
                         list[i].r_addend + (is_relative ? 4 : 0)};
    }
    free(list);
}

// False where the object is not as an object should be.
static bool open_image(image *m, const char *bytes, size_t size) {
    *m = (image){.bytes = bytes, .size = size, .names = ""};
    const ftc_arch *arch = ftc_object_arch(bytes, size);
    if (!arch || ftc_object_problem(bytes, size, arch)) return false;
    memcpy(&m->header, bytes, sizeof m->header);
    size_t n = m->header.e_shnum;
    m->sections = ftc_alloc(n + 1, sizeof *m->sections);
    memcpy(m->sections, bytes + m->header.e_shoff, n * sizeof *m->sections);
    for (size_t i = 0; i < n; i++) {
        Elf64_Shdr *s = &m->sections[i];
        if (s->sh_type == SHT_NOBITS || !lies_in(size, s->sh_offset, s->sh_size)) s->sh_size = 0;
    }
    for (size_t i = 0; i < n; i++) {
        const Elf64_Shdr *s = &m->sections[i];
        if (s->sh_type == SHT_RELA) add_relocations(m, s);
        if (s->sh_type != SHT_SYMTAB || m->symbols || s->sh_link >= n) continue;
        m->symbols = copy_entries(m, s, sizeof *m->symbols, &m->n_symbols);
        m->names = bytes + m->sections[s->sh_link].sh_offset;
        m->names_size = m->sections[s->sh_link].sh_size;
    }
    return m->symbols != NULL;
}

static void close_image(image *m) {
    free(m->owned);
    free(m->sections);
    free(m->symbols);
    free(m->relocations);
}

static void open_images(reading *r, const void *object, size_t size) {
    r->images = ftc_alloc(1, sizeof *r->images);
    r->n_images = open_image(&r->images[0], object, size);
    for (int i = 0; r->n_images; i++) {
        size_t own;
        char *bytes = ftc_object_read_kernel(object, size, i, &own);
        if (!bytes) return;
        r->images = ftc_realloc(r->images, (size_t)r->n_images + 1, sizeof *r->images);
        image *m = &r->images[r->n_images];
        bool ok = open_image(m, bytes, own);
        m->owned = bytes;
        if (ok)
            r->n_images++;
        else
            close_image(m);
    }
}

static void find_functions(reading *r) {
    for (int i = 0; i < r->n_images; i++) {
        const image *m = &r->images[i];
        for (size_t s = 0; s < m->n_symbols; s++) {
            const Elf64_Sym *symbol = &m->symbols[s];
            if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
                symbol->st_shndx >= m->header.e_shnum ||
                !lies_in(m->sections[symbol->st_shndx].sh_size, symbol->st_value, symbol->st_size))
                continue;
            r->functions =
                ftc_grow(r->functions, &r->functions_capacity, r->n_functions + 1, sizeof *r->functions);
            r->functions[r->n_functions++] = (function){.image = i,
                                                        .section = symbol->st_shndx,
                                                        .start = symbol->st_value,
                                                        .size = symbol->st_size,
                                                        .name = symbol_name(m, symbol)};
        }
    }
}

// --- what leads where ---------------------------------------------------------------------------------

static int32_t function_at(const reading *r, int image, uint64_t section, uint64_t at) {
    for (size_t i = 0; i < r->n_functions; i++) {
        const function *f = &r->functions[i];
        if (f->image == image && f->section == section && f->start == at) return (int32_t)i;
    }
    return -1;
}

static int32_t function_named(const reading *r, const char *name) {
    for (size_t i = 0; i < r->n_functions; i++)
        if (!strcmp(r->functions[i].name, name)) return (int32_t)i;
    return -1;
}

static void call(function *f, int32_t other) {
    if (other < 0) return;
    for (size_t i = 0; i < f->n_calls; i++)
        if (f->calls[i] == other) return;
    f->calls = ftc_grow(f->calls, &f->calls_capacity, f->n_calls + 1, sizeof *f->calls);
    f->calls[f->n_calls++] = other;
}

static const Elf64_Sym *symbol_of(const image *m, const relocation *at) {
    return at->symbol < m->n_symbols ? &m->symbols[at->symbol] : NULL;
}

// The function that a relocation means; -1: something else.
static int32_t function_meant(const reading *r, int i, const relocation *at) {
    const image *m = &r->images[i];
    const Elf64_Sym *symbol = symbol_of(m, at);
    if (!symbol) return -1;
    if (symbol->st_shndx == SHN_UNDEF) return function_named(r, symbol_name(m, symbol));
    return function_at(r, i, symbol->st_shndx, symbol->st_value + (uint64_t)at->addend);
}

// The functions that a table of data names, where the relocation means such a table.
static void call_through_table(reading *r, function *f, const relocation *at) {
    const image *m = &r->images[f->image];
    const Elf64_Sym *meant = symbol_of(m, at);
    if (!meant || meant->st_shndx == SHN_UNDEF) return;
    const uint64_t place = meant->st_value + (uint64_t)at->addend;
    for (size_t s = 0; s < m->n_symbols; s++) {
        const Elf64_Sym *table = &m->symbols[s];
        if (ELF64_ST_TYPE(table->st_info) != STT_OBJECT || table->st_shndx != meant->st_shndx ||
            place < table->st_value || place - table->st_value >= table->st_size)
            continue;
        for (size_t i = 0; i < m->n_relocations; i++) {
            const relocation *entry = &m->relocations[i];
            if (entry->target == table->st_shndx && entry->offset >= table->st_value &&
                entry->offset - table->st_value < table->st_size)
                call(f, function_meant(r, f->image, entry));
        }
    }
}

static const relocation *relocation_at(const image *m, uint64_t section, uint64_t offset) {
    for (size_t i = 0; i < m->n_relocations; i++)
        if (m->relocations[i].target == section && m->relocations[i].offset == offset)
            return &m->relocations[i];
    return NULL;
}

// --- instructions -------------------------------------------------------------------------------------

// LLVM asks what the operand at these bytes is: what its relocation names.
static int name_operand(void *context, uint64_t pc, uint64_t offset, uint64_t operand_size, uint64_t size,
                        int kind, void *buffer) {
    (void)operand_size, (void)size;
    const reading *r = context;
    const image *m = &r->images[r->in->image];
    const relocation *at = kind == 1 ? relocation_at(m, r->in->section, pc + offset) : NULL;
    const Elf64_Sym *symbol = at ? symbol_of(m, at) : NULL;
    if (!symbol) return 0;
    const char *name = symbol_name(m, symbol);
    struct LLVMOpInfo1 *info = buffer;
    *info = (struct LLVMOpInfo1){.AddSymbol = {1, *name ? name : "data", 0}, .Value = (uint64_t)at->addend};
    return 1;
}

// LLVM asks what lies at the target of a branch that has no relocation.
static const char *name_target(void *context, uint64_t value, uint64_t *type, uint64_t pc,
                               const char **name) {
    (void)pc;
    reading *r = context;
    *name = NULL;
    bool is_branch = *type == LLVMDisassembler_ReferenceType_In_Branch;
    *type = LLVMDisassembler_ReferenceType_InOut_None;
    if (!is_branch) return NULL;
    r->target = (int64_t)value;
    if (value >= r->in->start && value - r->in->start < r->in->size) {
        snprintf(r->label, sizeof r->label, ".L%llx", (unsigned long long)(value - r->in->start));
        return r->label;
    }
    int32_t other = function_at(r, r->in->image, r->in->section, value);
    return other < 0 ? NULL : r->functions[other].name;
}

static bool contains_any(const char *text, const char *const *words) {
    for (; *words; words++)
        if (strstr(text, *words)) return true;
    return false;
}

static bool begins_with_any(const char *text, const char *const *words) {
    for (; *words; words++)
        if (!strncmp(text, *words, strlen(*words))) return true;
    return false;
}

// What an instruction of AArch64 computes with vectors: as arithmetic_of.
static int32_t aarch64_arithmetic_of(const char *text) {
    static const char *const OF_VECTORS[] = {".4s", ".2d", ".2s", ".s,", NULL};
    static const char *const TWICE[] = {"fmla ", "fmls ", "fmad ", "fmsb ", NULL};
    static const char *const ONCE[] = {"fadd ", "fsub ",  "fmul ", "fdiv ", "fmax",
                                       "fmin",  "fsqrt ", "frint", NULL};
    if (!contains_any(text, OF_VECTORS)) return 0;
    if (begins_with_any(text, TWICE)) return 2;
    return begins_with_any(text, ONCE);
}

// What an instruction computes with vectors: 2 for a multiply-add, 1 for other arithmetic, else 0.
static int32_t arithmetic_of(const reading *r, const char *text) {
    if (!r->is_x86) return aarch64_arithmetic_of(text);
    static const char *const TWICE[] = {"fmadd", "fnmadd", "fmsub", "fnmsub", "vdpbf16ps", "tdpbf16ps", NULL};
    static const char *const ONCE[] = {"addps", "subps", "mulps", "divps", "maxps",   "minps",      "sqrtps",
                                       "addpd", "subpd", "mulpd", "divpd", "roundps", "rndscaleps", NULL};
    if (contains_any(text, TWICE)) return 2;
    return contains_any(text, ONCE);
}

static bool is_jump(const reading *r, const char *text) {
    static const char *const JUMPS[] = {"b ", "b.", "cbz ", "cbnz ", "tbz ", "tbnz ", NULL};
    return r->is_x86 ? *text == 'j' : begins_with_any(text, JUMPS);
}

static void copy_text(char *to, const char *text) {
    while (*text == '\t' || *text == ' ') text++;
    for (; *text; text++) *to++ = *text == '\t' ? ' ' : *text;
    *to = '\0';
}

// The function's instructions; notes what it calls.
static instruction *read_instructions(reading *r, int32_t which, size_t *n) {
    function *f = &r->functions[which];
    const image *m = &r->images[f->image];
    const uint8_t *code = (const uint8_t *)m->bytes + m->sections[f->section].sh_offset;
    instruction *list = NULL;
    size_t capacity = 0;
    r->in = f;
    for (uint64_t at = *n = 0; at < f->size;) {
        char text[256], copy[sizeof text];
        r->target = -1;
        size_t size = LLVMDisasmInstruction(r->disassembler, (uint8_t *)code + f->start + at, f->size - at,
                                            f->start + at, text, sizeof text);
        if (!size) break; // data among the code
        copy_text(copy, text);
        bool is_inside = r->target >= (int64_t)f->start && r->target < (int64_t)(f->start + f->size);
        if (r->target >= 0 && !is_inside) call(f, function_at(r, f->image, f->section, (uint64_t)r->target));
        list = ftc_grow(list, &capacity, *n + 1, sizeof *list);
        list[(*n)++] = (instruction){at, ftc_strdup(copy), is_inside ? r->target - (int64_t)f->start : -1};
        at += size;
    }
    for (size_t i = 0; i < m->n_relocations; i++) {
        const relocation *at = &m->relocations[i];
        if (at->target != f->section || at->offset < f->start || at->offset - f->start >= f->size) continue;
        int32_t other = function_meant(r, f->image, at);
        call(f, other);
        if (other < 0) call_through_table(r, f, at);
    }
    return list;
}

// --- loops --------------------------------------------------------------------------------------------

static size_t index_at(const instruction *list, size_t n, int64_t at) {
    size_t i = 0;
    while (i < n && list[i].at != (uint64_t)at) i++;
    return i;
}

static bool is_jumped_to(const instruction *list, size_t n, uint64_t at) {
    for (size_t i = 0; i < n; i++)
        if (list[i].target == (int64_t)at) return true;
    return false;
}

static void add_loop(reading *r, const function *f, const instruction *list, size_t n, size_t first,
                     size_t last) {
    ftc_text text;
    FILE *file = ftc_text_open(&text);
    ftc_listed_loop loop = {
        .function = f->name, .offset = (int64_t)list[first].at, .instructions = (int32_t)(last - first + 1)};
    for (size_t i = first; i <= last; i++) {
        if (is_jumped_to(list, n, list[i].at)) fprintf(file, ".L%llx:\n", (unsigned long long)list[i].at);
        fprintf(file, "    %s\n", list[i].text);
        loop.arithmetic += arithmetic_of(r, list[i].text);
    }
    loop.text = ftc_text_close(&text, NULL);
    r->loops = ftc_grow(r->loops, &r->loops_capacity, r->n_loops + 1, sizeof *r->loops);
    r->loops[r->n_loops++] = loop;
}

// Jumps back, innermost: no other one lies within what they jump over.
static void find_loops(reading *r, int32_t which) {
    size_t n;
    instruction *list = read_instructions(r, which, &n);
    function *f = &r->functions[which];
    f->is_read = true;
    f->first_loop = (int32_t)r->n_loops;
    for (size_t last = 0, inner = 0; last < n;
         last++) { // inner: where the last loop that was found begins, plus 1
        if (list[last].target < 0 || list[last].target > (int64_t)list[last].at ||
            !is_jump(r, list[last].text))
            continue;
        size_t first = index_at(list, n, list[last].target);
        if (first > last || first < inner) continue;
        add_loop(r, f, list, n, first, last);
        inner = first + 1;
    }
    f->n_loops = (int32_t)r->n_loops - f->first_loop;
    for (size_t i = 0; i < n; i++) free(list[i].text);
    free(list);
}

static void reach(reading *r, int32_t which) {
    if (r->functions[which].is_reached) return;
    r->functions[which].is_reached = true;
    if (!r->functions[which].is_read) find_loops(r, which);
    for (size_t i = 0; i < r->functions[which].n_calls; i++) reach(r, r->functions[which].calls[i]);
}

static int by_arithmetic(const void *a, const void *b, void *context) {
    const ftc_listed_loop *loops = context;
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b, x = loops[i].arithmetic,
            y = loops[k].arithmetic;
    return x != y ? (x < y) - (x > y) : (i > k) - (i < k);
}

static ftc_listed_function list_kernel(reading *r, int32_t which) {
    for (size_t i = 0; i < r->n_functions; i++) r->functions[i].is_reached = false;
    reach(r, which);
    ftc_listed_function listed = {.name = r->functions[which].name,
                                  .loops = ftc_alloc(r->n_loops + 1, sizeof(int32_t))};
    for (size_t i = 0; i < r->n_functions; i++)
        for (int32_t k = 0; r->functions[i].is_reached && k < r->functions[i].n_loops; k++)
            listed.loops[listed.n_loops++] = r->functions[i].first_loop + k;
    qsort_r(listed.loops, (size_t)listed.n_loops, sizeof *listed.loops, by_arithmetic, r->loops);
    return listed;
}

// --- the entry ----------------------------------------------------------------------------------------

// Where the call table of the entry lies; NULL: it has none.
static const Elf64_Sym *find_calls(const image *m, const char *symbol) {
    char name[128];
    snprintf(name, sizeof name, "%s.calls", symbol);
    for (size_t i = 0; i < m->n_symbols; i++)
        if (!strcmp(symbol_name(m, &m->symbols[i]), name)) return &m->symbols[i];
    return NULL;
}

// Which function each call of the table calls, in the order of the table; -1: none.
static void read_calls(const reading *r, const Elf64_Sym *table, int32_t n, int32_t *calls) {
    const image *m = &r->images[0];
    for (int32_t i = 0; i < n; i++) {
        uint64_t at = table->st_value + table->st_size / (uint64_t)n * (uint64_t)i;
        const relocation *entry = relocation_at(m, table->st_shndx, at);
        calls[i] = entry ? function_meant(r, 0, entry) : -1;
    }
}

static void list_kernels(reading *r, ftc_listing *out) {
    int32_t *known =
        ftc_alloc(r->n_functions + 1, sizeof *known); // by function: its place in the listing, plus 1
    out->functions = ftc_alloc((size_t)out->n_calls + 1, sizeof *out->functions);
    for (int32_t i = 0; i < out->n_calls; i++) {
        int32_t which = out->calls[i];
        if (which < 0) continue;
        if (!known[which]) {
            out->functions[out->n_functions] = list_kernel(r, which);
            known[which] = ++out->n_functions;
        }
        out->calls[i] = known[which] - 1;
    }
    free(known);
}

bool ftc_listing_make(const void *object, size_t size, const char *symbol, int32_t n_calls,
                      const char *features, ftc_listing *out, char **error) {
    reading r = {0};
    ftc_listing listing = {.calls = ftc_alloc((size_t)n_calls + 1, sizeof *listing.calls),
                           .n_calls = n_calls};
    open_images(&r, object, size);
    find_functions(&r);
    const Elf64_Sym *table = r.n_images && n_calls ? find_calls(&r.images[0], symbol) : NULL;
    if (table) {
        read_calls(&r, table, n_calls, listing.calls);
        ftc_llvm_enter();
        const ftc_arch *arch = ftc_object_arch(object, size);
        ftc_arch_initialize(arch);
        r.is_x86 = arch->elf_machine == EM_X86_64;
        r.disassembler =
            LLVMCreateDisasmCPUFeatures(arch->triple, "", features, &r, 1, name_operand, name_target);
        if (r.disassembler) list_kernels(&r, &listing);
        if (r.disassembler) LLVMDisasmDispose(r.disassembler);
        ftc_llvm_leave();
    }
    for (size_t i = 0; i < r.n_functions; i++) free(r.functions[i].calls);
    free(r.functions);
    listing.loops = r.loops;
    listing.n_loops = (int32_t)r.n_loops;
    listing.images = r.images;
    listing.n_images = r.n_images;
    if (r.disassembler) {
        *out = listing;
        return true;
    }
    ftc_listing_free(&listing);
    *error = ftc_format("the object has no table of the kernels of %s", symbol);
    return false;
}

void ftc_listing_free(ftc_listing *listing) {
    for (int32_t i = 0; i < listing->n_loops; i++) free(listing->loops[i].text);
    for (int32_t i = 0; i < listing->n_functions; i++) free(listing->functions[i].loops);
    for (int32_t i = 0; i < listing->n_images; i++) close_image(&listing->images[i]);
    free(listing->loops);
    free(listing->functions);
    free(listing->calls);
    free(listing->images);
    *listing = (ftc_listing){0};
}
