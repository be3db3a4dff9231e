#include "compiler/codegen/object.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/IRReader.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "compiler/codegen/llvm.h"
#include "compiler/codegen/sanitize.h"
#include "ir/base/alloc.h"

// The emitters write vector code and place it in loops as it should run, so nothing is left to vectorize or
// unroll: locals become registers, addresses common to an iteration are computed once, tests move to the ends
// of loops.
static const char pipeline[] =
    "cgscc(inline),"
    "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,"
    "loop-mssa(loop-rotate,licm),early-cse<memssa>,instcombine<no-verify-fixpoint>,"
    "simplifycfg),globaldce";

// A copy of LLVM's message in *error; frees `failure`.
static void set_error(LLVMErrorRef failure, const char *doing, char **error) {
    char *message = LLVMGetErrorMessage(failure);
    *error = ftc_format("%s: %s", doing, message);
    LLVMDisposeErrorMessage(message);
}

static void set_error_text(char *message, const char *doing, char **error) {
    *error = ftc_format("%s: %s", doing, message);
    LLVMDisposeMessage(message);
}

static char *copy_bytes(const char *bytes, size_t size) {
    char *copy = ftc_alloc(size + 1, 1);
    memcpy(copy, bytes, size);
    copy[size] = '\0';
    return copy;
}

bool ftc_object_optimize(ftc_codegen *cg, char **error) {
    char *message = NULL;
    if (LLVMVerifyModule(cg->module, LLVMReturnStatusAction, &message)) {
        set_error_text(message, "the emitted module is not valid", error);
        return false;
    }
    LLVMDisposeMessage(message);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef failure = LLVMRunPasses(cg->module, pipeline, cg->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (failure) set_error(failure, "optimizing the module", error);
    return !failure && ftc_sanitize_threads(cg, error);
}

static char *emit(ftc_codegen *cg, LLVMCodeGenFileType type, size_t *size, char **error) {
    LLVMMemoryBufferRef buffer;
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(cg->machine, cg->module, type, &message, &buffer)) {
        set_error_text(message, "generating machine code", error);
        return NULL;
    }
    *size = LLVMGetBufferSize(buffer);
    char *bytes = copy_bytes(LLVMGetBufferStart(buffer), *size);
    LLVMDisposeMemoryBuffer(buffer);
    return bytes;
}

char *ftc_object_emit(ftc_codegen *cg, size_t *size, char **error) {
    return emit(cg, LLVMObjectFile, size, error);
}

char *ftc_object_emit_assembly(ftc_codegen *cg, size_t *size, char **error) {
    return emit(cg, LLVMAssemblyFile, size, error);
}

char *ftc_object_print_ir(ftc_codegen *cg, size_t *size) {
    char *text = LLVMPrintModuleToString(cg->module);
    if (!text) ftc_out_of_memory(0); // LLVM's copies of texts have no handler
    *size = strlen(text);
    char *copy = copy_bytes(text, *size);
    LLVMDisposeMessage(text);
    return copy;
}

// In place of the module that the codegen was made with.
static bool take_text(ftc_codegen *cg, const char *text, size_t size, char **error) {
    LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(text, size, "kernel");
    LLVMModuleRef module;
    char *message = NULL;
    if (LLVMParseIRInContext(cg->context, buffer, &module, &message)) { // frees the buffer in any case
        set_error_text(message, "reading LLVM's text", error);
        return false;
    }
    LLVMSetTarget(module, LLVMGetTarget(cg->module));
    LLVMSetDataLayout(module, LLVMGetDataLayoutStr(cg->module));
    LLVMDisposeModule(cg->module);
    cg->module = module;
    if (!LLVMVerifyModule(cg->module, LLVMReturnStatusAction, &message)) {
        LLVMDisposeMessage(message);
        return true;
    }
    set_error_text(message, "the text is not valid", error);
    return false;
}

char *ftc_object_from_text(const char *text, size_t text_size, const ftc_target *target, size_t *size,
                           char **error) {
    ftc_codegen *cg = ftc_codegen_new(target, "kernel", error);
    if (!cg) return NULL;
    char *object = NULL;
    if (take_text(cg, text, text_size, error)) {
        LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
        LLVMErrorRef failure = LLVMRunPasses(cg->module, "default<O3>", cg->machine, options);
        LLVMDisposePassBuilderOptions(options);
        if (failure)
            set_error(failure, "optimizing the kernel", error);
        else
            object = ftc_object_emit(cg, size, error);
    }
    ftc_codegen_free(cg);
    return object;
}

// --- sections -----------------------------------------------------------------------------------------

// An object's header says where the table of its sections stands, and which of them holds their names. What
// is added goes behind all that is there, so that nothing moves: contents, then a longer copy of the names,
// then of the table.
char *ftc_object_add_sections(const char *object, size_t object_size, const ftc_object_section *sections,
                              int n, size_t *size) {
    Elf64_Ehdr header;
    memcpy(&header, object, sizeof header);
    size_t n_table = header.e_shnum + (size_t)n, at = object_size;
    Elf64_Shdr *table = ftc_alloc(n_table, sizeof *table);
    ftc_text written;
    FILE *f = ftc_text_open(&written);
    memcpy(table, object + header.e_shoff, header.e_shnum * sizeof *table);
    Elf64_Shdr *names = &table[header.e_shstrndx];
    uint64_t name = names->sh_size;
    fwrite(object, 1, object_size, f);
    for (int i = 0; i < n; i++) {
        // SHF_ALLOC: else `objcopy -O binary -j` would leave it out.
        table[header.e_shnum + i] = (Elf64_Shdr){.sh_name = (uint32_t)name,
                                                 .sh_type = SHT_PROGBITS,
                                                 .sh_flags = SHF_ALLOC,
                                                 .sh_offset = at,
                                                 .sh_size = sections[i].size,
                                                 .sh_addralign = 1};
        at += fwrite(sections[i].bytes, 1, sections[i].size, f);
        name += strlen(sections[i].name) + 1;
    }
    fwrite(object + names->sh_offset, 1, names->sh_size, f);
    for (int i = 0; i < n; i++) fwrite(sections[i].name, 1, strlen(sections[i].name) + 1, f);
    names->sh_offset = at;
    names->sh_size = name;
    for (at += name; at % _Alignof(Elf64_Shdr); at++) fputc(0, f);
    fwrite(table, sizeof *table, n_table, f);
    header.e_shoff = at;
    header.e_shnum = (uint16_t)n_table;
    char *bytes = ftc_text_close(&written, size);
    memcpy(bytes, &header, sizeof header);
    free(table);
    return bytes;
}

static bool lies_in(size_t object_size, uint64_t at, uint64_t bytes) {
    return at <= object_size && bytes <= object_size - at;
}

// An object's header, when the table of its sections, which it points to, is there.
static bool read_header(const char *object, size_t object_size, Elf64_Ehdr *header) {
    if (object_size < sizeof *header) return false;
    memcpy(header, object, sizeof *header);
    return memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
           header->e_ident[EI_DATA] == ELFDATA2LSB && header->e_shentsize == sizeof(Elf64_Shdr) &&
           header->e_shstrndx < header->e_shnum &&
           lies_in(object_size, header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr));
}

// Entry i of the table; false when the section does not lie in the object.
static bool read_entry(const char *object, size_t object_size, const Elf64_Ehdr *header, size_t i,
                       Elf64_Shdr *section) {
    memcpy(section, object + header->e_shoff + i * sizeof *section, sizeof *section);
    return section->sh_type != SHT_NOBITS && lies_in(object_size, section->sh_offset, section->sh_size);
}

// By hand: LLVM's reader ends the process where a file is damaged.
char *ftc_object_read_section(const void *object, size_t object_size, const char *name, size_t *size,
                              char **error) {
    Elf64_Ehdr header;
    Elf64_Shdr names, section;
    size_t length = strlen(name) + 1;
    bool ok = read_header(object, object_size, &header) &&
              read_entry(object, object_size, &header, header.e_shstrndx, &names);
    for (size_t i = 0; ok && i < header.e_shnum; i++) {
        if (!read_entry(object, object_size, &header, i, &section)) continue;
        const char *own = (const char *)object + names.sh_offset + section.sh_name;
        if (!lies_in(names.sh_size, section.sh_name, length) || memcmp(own, name, length) != 0) continue;
        *size = section.sh_size;
        return copy_bytes((const char *)object + section.sh_offset, *size);
    }
    *error = ok ? ftc_format("the object file has no section %s", name)
                : ftc_strdup("not an ELF object file for a 64-bit little-endian machine");
    return NULL;
}

char *ftc_object_read_kernel(const void *object, size_t object_size, int i, size_t *size) {
    char name[64], *error = NULL;
    snprintf(name, sizeof name, FTC_OBJECT_KERNEL, i);
    char *bytes = ftc_object_read_section(object, object_size, name, size, &error);
    free(error);
    return bytes;
}

const ftc_arch *ftc_object_arch(const void *object, size_t object_size) {
    Elf64_Ehdr header;
    return read_header(object, object_size, &header) ? ftc_arch_of_elf(header.e_machine) : NULL;
}

const char *ftc_object_problem(const void *object, size_t object_size, const ftc_arch *arch) {
    Elf64_Ehdr header;
    if (!read_header(object, object_size, &header))
        return "it is no object file for a 64-bit little-endian machine";
    if (header.e_machine != arch->elf_machine) return "it is for another kind of machine than the target";
    return header.e_type == ET_REL ? NULL : "it is linked already: an object file (cc -c) is needed";
}

// The table of symbols, and the names of which it tells.
static bool read_symbols(const void *object, size_t object_size, Elf64_Shdr *symbols, Elf64_Shdr *names) {
    Elf64_Ehdr header;
    if (!read_header(object, object_size, &header)) return false;
    for (size_t i = 0; i < header.e_shnum; i++)
        if (read_entry(object, object_size, &header, i, symbols) && symbols->sh_type == SHT_SYMTAB)
            return symbols->sh_link < header.e_shnum &&
                   read_entry(object, object_size, &header, symbols->sh_link, names);
    return false;
}

bool ftc_object_defines(const void *object, size_t object_size, const char *symbol) {
    Elf64_Shdr symbols, names;
    size_t length = strlen(symbol) + 1;
    if (!read_symbols(object, object_size, &symbols, &names)) return false;
    for (size_t i = 0; i < symbols.sh_size / sizeof(Elf64_Sym); i++) {
        Elf64_Sym entry;
        memcpy(&entry, (const char *)object + symbols.sh_offset + i * sizeof entry, sizeof entry);
        if (entry.st_shndx == SHN_UNDEF || !lies_in(names.sh_size, entry.st_name, length)) continue;
        if (memcmp((const char *)object + names.sh_offset + entry.st_name, symbol, length) == 0) return true;
    }
    return false;
}

// --- loading ------------------------------------------------------------------------------------------

struct ftc_loaded_object {
    LLVMOrcLLJITRef jit;
    char *report; // what kept some of the code from being linked, which a lookup may not tell; NULL: nothing
};

// The first one. LLVM would print it.
static void keep_report(void *context, LLVMErrorRef failure) {
    ftc_loaded_object *loaded = context;
    char *message = LLVMGetErrorMessage(failure);
    if (!loaded->report) loaded->report = ftc_strdup(message);
    LLVMDisposeErrorMessage(message);
}

// Adds the objects that lie in the object.
static LLVMErrorRef add_kernels(LLVMOrcLLJITRef jit, LLVMOrcJITDylibRef library, const void *object,
                                size_t size) {
    LLVMErrorRef failure = NULL;
    for (int i = 0; !failure; i++) {
        char name[64];
        size_t own;
        snprintf(name, sizeof name, FTC_OBJECT_KERNEL, i);
        char *bytes = ftc_object_read_kernel(object, size, i, &own);
        if (!bytes) break;
        failure = LLVMOrcLLJITAddObjectFile(jit, library,
                                            LLVMCreateMemoryBufferWithMemoryRangeCopy(bytes, own, name));
        free(bytes);
    }
    return failure;
}

static LLVMOrcLLJITRef load(ftc_loaded_object *loaded, const void *object, size_t size, char **error) {
    ftc_arch_initialize(ftc_target_host()->arch);
    LLVMOrcLLJITRef jit;
    LLVMErrorRef failure = LLVMOrcCreateLLJIT(&jit, NULL);
    if (failure) {
        set_error(failure, "creating the loader", error);
        return NULL;
    }
    LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(jit), keep_report, loaded);
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(jit);
    // The code calls nothing but memset, memcpy and memmove, which LLVM may make of loops, and, in builds
    // under ThreadSanitizer, its run-time library.
    LLVMOrcDefinitionGeneratorRef process_symbols;
    failure = LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(
        &process_symbols, LLVMOrcLLJITGetGlobalPrefix(jit), NULL, NULL);
    if (!failure) {
        LLVMOrcJITDylibAddGenerator(library, process_symbols);
        failure = LLVMOrcLLJITAddObjectFile(
            jit, library, LLVMCreateMemoryBufferWithMemoryRangeCopy(object, size, "compiled model"));
        if (!failure) failure = add_kernels(jit, library, object, size);
    }
    if (failure) {
        set_error(failure, "loading the object file", error);
        LLVMErrorRef ignored = LLVMOrcDisposeLLJIT(jit);
        if (ignored) LLVMConsumeError(ignored);
        return NULL;
    }
    return jit;
}

static void release(void *loaded, size_t bytes) {
    (void)bytes;
    ftc_object_unload(loaded);
}

ftc_loaded_object *ftc_object_load(const void *object, size_t size, char **error) {
    ftc_loaded_object *loaded = ftc_alloc(1, sizeof *loaded);
    ftc_llvm_enter();
    loaded->jit = load(loaded, object, size, error);
    ftc_llvm_leave();
    if (loaded->jit) {
        ftc_care_begin(loaded, 0, release);
        return loaded;
    }
    free(loaded->report);
    free(loaded);
    return NULL;
}

ftc_code *ftc_object_lookup(ftc_loaded_object *loaded, const char *symbol, char **error) {
    LLVMOrcExecutorAddress address = 0;
    ftc_llvm_enter();
    LLVMErrorRef failure = LLVMOrcLLJITLookup(loaded->jit, &address, symbol);
    if (failure && !loaded->report)
        set_error(failure, "looking up a symbol", error);
    else if (failure)
        LLVMConsumeError(failure);
    if (loaded->report) *error = ftc_strdup(loaded->report);
    ftc_llvm_leave();
    return failure || loaded->report ? NULL : (ftc_code *)(uintptr_t)address;
}

void ftc_object_unload(ftc_loaded_object *loaded) {
    if (!loaded) return;
    ftc_care_end(loaded);
    if (!ftc_llvm_is_lost()) {
        ftc_llvm_enter();
        LLVMErrorRef failure = LLVMOrcDisposeLLJIT(loaded->jit);
        if (failure) LLVMConsumeError(failure);
        ftc_llvm_leave();
    }
    free(loaded->report);
    free(loaded);
}
