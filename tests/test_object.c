// From a module to an object file and back, and the targets: sections, text forms, loading, and what broken
// files are told.
#include <criterion/criterion.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/codegen/object.h"

typedef int64_t add_fn(int64_t a, int64_t b);

static const char payload[] = "model bert_cls\n\0with a NUL";

// int64_t add(a, b), and internal code that nothing calls.
static ftc_codegen *make_module(void) {
    char *error = NULL;
    ftc_codegen *cg = ftc_codegen_new(ftc_target_host(), "adder", &error);
    cr_assert(cg, "%s", error);
    LLVMTypeRef params[] = {cg->i64, cg->i64};
    ftc_cg_function unused = ftc_cg_function_begin(cg, "unused", cg->i64, params, 2, FTC_CG_INTERNAL, false);
    ftc_cg_function_end(cg, unused, LLVMGetParam(unused.function, 0));
    ftc_cg_function f = ftc_cg_function_begin(cg, "add", cg->i64, params, 2, FTC_CG_EXPORTED, false);
    LLVMValueRef sum = ftc_cg_add(cg, LLVMGetParam(f.function, 0), LLVMGetParam(f.function, 1));
    ftc_cg_function_end(cg, f, sum);
    cr_assert(ftc_object_optimize(cg, &error), "%s", error);
    return cg;
}

// The module as an object, with two sections beside the code.
static char *make_object(size_t *size) {
    static const ftc_object_section sections[] = {{".ftc.test", payload, sizeof payload},
                                                  {".ftc.empty", "", 0}};
    ftc_codegen *cg = make_module();
    size_t code_size;
    char *error = NULL, *code = ftc_object_emit(cg, &code_size, &error);
    cr_assert(code, "%s", error);
    char *object = ftc_object_add_sections(code, code_size, sections, 2, size);
    cr_assert_arr_eq(object + sizeof(Elf64_Ehdr), code + sizeof(Elf64_Ehdr), code_size - sizeof(Elf64_Ehdr));
    free(code);
    ftc_codegen_free(cg);
    return object;
}

Test(object, runs) {
    size_t size;
    char *error = NULL, *object = make_object(&size);
    ftc_loaded_object *loaded = ftc_object_load(object, size, &error);
    cr_assert(loaded, "%s", error);
    free(object); // the loader has its own copy
    add_fn *add = (add_fn *)ftc_object_lookup(loaded, "add", &error);
    cr_assert(add, "%s", error);
    cr_expect(add(40, 2) == 42);
    cr_expect(!ftc_object_lookup(loaded, "subtract", &error));
    cr_expect(strstr(error, "subtract"), "%s", error);
    free(error);
    ftc_object_unload(loaded);
}

Test(object, sections) {
    size_t size, section_size;
    char *error = NULL, *object = make_object(&size);
    char *section = ftc_object_read_section(object, size, ".ftc.test", &section_size, &error);
    cr_assert(section, "%s", error);
    cr_expect(section_size == sizeof payload && memcmp(section, payload, sizeof payload) == 0);
    free(section);
    section = ftc_object_read_section(object, size, ".ftc.empty", &section_size, &error);
    cr_expect(section && section_size == 0);
    free(section);
    section = ftc_object_read_section(object, size, ".text", &section_size, &error);
    cr_expect(section && section_size > 0, "the names of the sections before are lost");
    free(section);
    cr_expect(!ftc_object_read_section(object, size, ".ftc.other", &section_size, &error));
    cr_expect(strstr(error, ".ftc.other"), "%s", error);
    free(error);
    free(object);
}

// However much of the file is missing, or whatever it is instead, there is a message and no crash.
Test(object, broken_files) {
    size_t size, section_size;
    char *object = make_object(&size);
    for (size_t keep = 0; keep < size; keep += keep < 80 ? 1 : 37) {
        char *cut = malloc(keep + 1), *error = NULL;
        memcpy(cut, object, keep);
        char *section = ftc_object_read_section(cut, keep, ".ftc.test", &section_size, &error);
        cr_expect(section || error, "%zu of %zu bytes: neither section nor message", keep, size);
        free(section);
        free(error);
        free(cut);
    }
    for (size_t at = 0; at < size; at++) { // some bytes lead elsewhere: a table, names, contents
        for (int i = 0; i < 3; i++) {
            static const char BITS[] = {1, 127, -1};
            char *error = NULL;
            object[at] ^= BITS[i];
            char *section = ftc_object_read_section(object, size, ".ftc.test", &section_size, &error);
            cr_expect(section || error, "byte %zu changed: neither section nor message", at);
            object[at] ^= BITS[i];
            free(section);
            free(error);
        }
    }
    char *error = NULL;
    const char text[] = "# not an object file, but long enough to be one of the kinds that LLVM looks for\n";
    cr_expect(!ftc_object_read_section(text, sizeof text, ".ftc.test", &section_size, &error));
    cr_expect(error && *error);
    free(error);
    free(object);
}

Test(object, text_forms) {
    ftc_codegen *cg = make_module();
    size_t size;
    char *error = NULL, *ir = ftc_object_print_ir(cg, &size);
    cr_expect(strlen(ir) == size && strstr(ir, "define") && strstr(ir, "@add("));
    cr_expect(!strstr(ir, "@unused"), "internal code that nobody calls is dropped");
    char *assembly = ftc_object_emit_assembly(cg, &size, &error);
    cr_assert(assembly, "%s", error);
    cr_expect(strlen(assembly) == size && strstr(assembly, "add:"));
    free(ir);
    free(assembly);
    ftc_codegen_free(cg);
}

// Whether code can run here is decided by what its feature string adds.
Test(target, features) {
    const ftc_arch *arch = ftc_target_host()->arch;
    cr_expect(ftc_target_features_supported_here(arch, ""));
    cr_expect(ftc_target_features_supported_here(arch, ftc_target_host()->features));
    cr_expect(ftc_target_supported_here(ftc_target_named("generic")) !=
                  ftc_target_supported_here(ftc_target_named("aarch64")),
              "a machine is of one kind");
    cr_expect(!ftc_target_features_supported_here(arch, "+sse3,+made-up"));
    cr_expect(!ftc_target_features_supported_here(arch, "+ss"), "half a name is no name");
    cr_expect(!ftc_target_features_supported_here(NULL, ""), "an object for a machine that nobody knows");
    cr_expect(!ftc_target_named("sparc"));
}
