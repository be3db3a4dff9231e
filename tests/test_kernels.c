// Kernels of one's own (docs/kernels.md): linked beside the compiler's, compared with what they mean.
#include <criterion/criterion.h>

#include "tests/command.h"

#define EXAMPLES FTC_SOURCE_ROOT "/docs/examples/"

// --- the example --------------------------------------------------------------------------------------

Test(kernels, of_the_example_do_what_they_mean, .timeout = 120) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "norm.bias", "verify", EXAMPLES "layernorm.ir", "--kernel",
               EXAMPLES "layernorm.c");
    ASSERT_FTC(dir, 0, out, "wrote", "compile", EXAMPLES "layernorm.ir", "--kernel", EXAMPLES "layernorm.c",
               "-o", "own.ftc");
    // It trains, on any number of threads to the same bits, and in another size, which is compiled anew.
    ASSERT_FTC(dir, 0, out, "train_loss", "run", "own.ftc", "--max-steps", "3", "--threads", "1", "--output",
               "one", "--logging-steps", "1");
    ASSERT_FTC(dir, 0, out, "train_loss", "run", "own.ftc", "--max-steps", "3", "--threads", "3", "--output",
               "three", "--logging-steps", "1");
    char *one = read_text(dir, "one/model.safetensors"), *three = read_text(dir, "three/model.safetensors");
    cr_expect(!memcmp(one, three, 4000));
    free(one);
    free(three);
    ASSERT_FTC(dir, 0, out, "train_loss", "run", "own.ftc", "--batch", "16", "--max-steps", "2", "--output",
               "other");
    ASSERT_FTC(dir, 0, out, "\nkernels of its own ", "inspect", "own.ftc");
    ASSERT_FTC(dir, 0, out, "backward", "bench", "own.ftc", "--kernels", "--steps", "2");
    scratch_free(dir);
}

// To look at, nobody needs the kernels themselves.
Test(kernels, are_explained, .timeout = 120) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "extern15: extern", "explain", EXAMPLES "layernorm.ir", "--kernel", "extern15",
               "--threads", "1");
    scratch_free(dir);
}

// Attention, over every token of a text and every head.
Test(kernels, of_attention_do_what_they_mean, .timeout = 120) {
    char *dir = test_directory();
    ASSERT_FTC(dir, 0, out, "query.weight", "verify", EXAMPLES "attention.ir", "--kernel",
               EXAMPLES "attention.c");
    ASSERT_FTC(dir, 0, out, "query.weight", "verify", EXAMPLES "attention.ir", "--kernel",
               EXAMPLES "attention.c", "--precision", "bf16");
    char *text = NULL, *factor;
    size_t bytes;
    ASSERT_OK(ftc_file_read(EXAMPLES "attention.c", &text, &bytes));
    cr_assert((factor = strstr(text, "float ds = scale")));
    memcpy(factor, "float ds = 2.00f", strlen("float ds = 2.00f")); // for scale, which is 0.25
    write_file(dir, "wrong.c", text);
    free(text);
    ASSERT_FTC(dir, 1, err, "differ by more than rounding", "verify", EXAMPLES "attention.ir", "--kernel",
               "wrong.c");
    scratch_free(dir);
}

// The three gradients are one call; each kernel stands alone, and every stage of it can be compiled again.
Test(kernels, stand_alone_in_the_graph, .timeout = 120) {
    char *dir = test_directory();
    outcome o = FTC(dir, "compile", EXAMPLES "layernorm.ir", "--emit", "kernels");
    cr_assert_eq(o.status, 0, "%s", o.err);
    int kernels = 0, results = 0;
    for (const char *at = o.out; (at = strstr(at, "kernel extern")); at++) kernels++;
    for (const char *at = o.out; (at = strstr(at, "\"layernorm_backward\"")); at++) results++;
    cr_expect_eq(kernels, 2);
    cr_expect_eq(results, 3);
    forget(&o);
    ASSERT_FTC(dir, 0, out, "wrote", "compile", EXAMPLES "layernorm.ir", "--kernel", EXAMPLES "layernorm.c",
               "-o", "own.ftc", "--dump-after", "all", "--dump-dir", "dumps");
    static const char *const STAGES[] = {"dumps/00-expand.ir", "dumps/09-dce.ir", "dumps/17-plan.ir"};
    for (size_t i = 0; i < sizeof STAGES / sizeof *STAGES; i++) {
        char *graph = NULL;
        if (asprintf(&graph, "step=%s", STAGES[i]) < 0) abort();
        ASSERT_FTC(dir, 0, out, "wrote", "compile", EXAMPLES "layernorm.ir", "--kernel",
                   EXAMPLES "layernorm.c", "--graph", graph, "-o", "again.ftc");
        free(graph);
    }
    scratch_free(dir);
}

// --- a small model ------------------------------------------------------------------------------------

static const char SMALL[] = "model small\n"
                            "axis B <= 4\n"
                            "axis X = 3, C = 2\n"
                            "input x     : f32[B, X]\n"
                            "input label : i32[B] in C\n"
                            "fn twice(x; A) extern \"twice\" {\n"
                            "    return x + x\n"
                            "}\n"
                            "h = twice(linear(\"in\", x; X -> C); C)\n"
                            "output loss = mean(cross_entropy(h, label; C); B)\n";

#define KERNEL(factor)                                                                                       \
    "#include \"ftc_kernel.h\"\n"                                                                            \
    "void twice(const ftc_kernel_args *a) {\n"                                                               \
    "    const ftc_kernel_tensor *x = &a->operands[0], *y = &a->results[0];\n"                               \
    "    for (int64_t b = a->thread; b < x->axes[0].size; b += a->threads)\n"                                \
    "        for (int64_t i = 0; i < x->axes[1].size; i++)\n"                                                \
    "            ((float *)y->data)[b * y->axes[0].stride + i * y->axes[1].stride] =\n"                      \
    "                " factor " * ((float *)x->data)[b * x->axes[0].stride + i * x->axes[1].stride];\n"      \
    "}\n"

// Without a gradient of its own, that of the meaning; and a kernel that does something else is found out.
Test(kernels, are_compared_with_their_meaning, .timeout = 120) {
    char *dir = test_directory();
    write_file(dir, "small.ir", SMALL);
    write_file(dir, "right.c", KERNEL("2"));
    write_file(dir, "wrong.c", KERNEL("2.01f"));
    ASSERT_FTC(dir, 0, out, "in.weight", "verify", "small.ir", "--kernel", "right.c");
    ASSERT_FTC(dir, 1, err, "differ by more than rounding", "verify", "small.ir", "--kernel", "wrong.c");
    ASSERT_FTC(dir, 0, out, "in.weight", "verify", "small.ir", "--kernel", "right.c", "--target", "avx2");
    scratch_free(dir);
}

// Results are what the text makes of them, operands up to fifteen.
Test(kernels, take_many_operands_and_give_any_type, .timeout = 120) {
    char *dir = test_directory();
    write_file(
        dir, "small.ir",
        "model small\naxis B <= 4\naxis X = 3, C = 2, R = 5\ninput x : f32[B, X]\ninput label : i32[B] in C\n"
        "fn row(x, a, b, c, d, e, g, h, i) extern \"row\" {\n"
        "    return cast(x > a + b + c + d + e + g + h + i, i32) * 3\n}\n"
        "fn is_large(x) extern \"is_large\" {\n    return x > 0.25\n}\n"
        "r = gather(param \"rows\" f32[R, C], R, row(x, 1, 2, 3, 4, -3, -3, -3, -1))\n"
        "l = linear(\"in\", select(is_large(x), x, 0.5 * x); X -> C)\n"
        "output loss = mean(cross_entropy(l + mean(r; X), label; C); B)\n");
    write_file(dir, "small.c",
               "#include \"ftc_kernel.h\"\n"
               "static float at(const ftc_kernel_args *a, int o, int64_t i) { return ((float "
               "*)a->operands[o].data)[i]; }\n"
               "void row(const ftc_kernel_args *a) {\n"
               "    float sum = 0;\n"
               "    for (int o = 1; o < a->n_operands; o++) sum += at(a, o, 0);\n"
               "    for (int64_t i = a->thread; i < a->operands[0].axes[0].size * 3; i += a->threads)\n"
               "        ((int32_t *)a->results[0].data)[i] = at(a, 0, i) > sum ? 3 : 0;\n"
               "}\n"
               "void is_large(const ftc_kernel_args *a) {\n"
               "    for (int64_t i = a->thread; i < a->operands[0].axes[0].size * 3; i += a->threads)\n"
               "        ((uint8_t *)a->results[0].data)[i] = at(a, 0, i) > 0.25f;\n"
               "}\n");
    ASSERT_FTC(dir, 0, out, "in.weight", "verify", "small.ir", "--kernel", "small.c");
    scratch_free(dir);
}

// The struct of ir/ftc_kernel.h by its offsets, as another language sees it: y = x + x on thread 0.
static const char LL[] = "@ftc_kernel_abi_2 = constant i32 1\n"
                         "define void @twice(ptr %a) {\n"
                         "  %thread = load i32, ptr %a\n"
                         "  %first = icmp eq i32 %thread, 0\n"
                         "  br i1 %first, label %work, label %end\n"
                         "work:\n"
                         "  %xp = getelementptr i8, ptr %a, i64 40\n"
                         "  %x = load ptr, ptr %xp\n"
                         "  %np = getelementptr i8, ptr %a, i64 56\n"
                         "  %rows = load i64, ptr %np\n"
                         "  %n = mul i64 %rows, 2\n"
                         "  %yp = getelementptr i8, ptr %a, i64 4392\n"
                         "  %y = load ptr, ptr %yp\n"
                         "  br label %loop\n"
                         "loop:\n"
                         "  %i = phi i64 [ 0, %work ], [ %next, %loop ]\n"
                         "  %from = getelementptr float, ptr %x, i64 %i\n"
                         "  %to = getelementptr float, ptr %y, i64 %i\n"
                         "  %v = load float, ptr %from\n"
                         "  %w = fadd float %v, %v\n"
                         "  store float %w, ptr %to\n"
                         "  %next = add i64 %i, 1\n"
                         "  %more = icmp slt i64 %next, %n\n"
                         "  br i1 %more, label %loop, label %end\n"
                         "end:\n"
                         "  ret void\n"
                         "}\n";

Test(kernels, come_as_text_of_llvm_and_as_objects, .timeout = 120) {
    char *dir = test_directory();
    write_file(dir, "small.ir", SMALL);
    write_file(dir, "twice.ll", LL);
    ASSERT_FTC(dir, 0, out, "in.weight", "verify", "small.ir", "--kernel", "twice.ll");
    write_file(dir, "broken.ll", "define void @twice(ptr %a) {");
    ASSERT_FTC(dir, 2, err, "--kernel broken.ll: reading LLVM's text", "compile", "small.ir", "--kernel",
               "broken.ll");
    write_file(dir, "twice.c", KERNEL("2"));
    char *command = NULL;
    if (asprintf(&command,
                 "cd '%s' && cc -O1 -fPIC -I '%s/ir' -c twice.c -o twice.o && cc -shared twice.o -o lib.o",
                 dir, FTC_SOURCE_ROOT) < 0)
        abort();
    cr_assert_eq(system(command), 0);
    free(command);
    ASSERT_FTC(dir, 0, out, "in.weight", "verify", "small.ir", "--kernel", "twice.o");
    ASSERT_FTC(dir, 2, err, "lib.o: it is linked already", "compile", "small.ir", "--kernel", "lib.o");
    // The same object for another machine.
    char *path = ftc_path_join(dir, "twice.o");
    FILE *f = fopen(path, "r+b");
    cr_assert(f && fseek(f, 18, SEEK_SET) == 0 && fputc(183, f) == 183 && fclose(f) == 0);
    ASSERT_FTC(dir, 2, err, "twice.o: it is for another kind of machine", "compile", "small.ir", "--kernel",
               "twice.o");
    free(path);
    scratch_free(dir);
}

Test(kernels, that_cannot_be_linked_are_refused, .timeout = 120) {
    char *dir = test_directory();
    write_file(dir, "small.ir", SMALL);
    write_file(dir, "twice.c", KERNEL("2"));
    ASSERT_FTC(dir, 2, err, "small.ir:9: error: no file of --kernel has the function twice", "compile",
               "small.ir");
    write_file(dir, "other.c",
               "#include \"ftc_kernel.h\"\nvoid thrice(const ftc_kernel_args *a) { (void)a; }\n");
    ASSERT_FTC(dir, 2, err, "has the function twice", "compile", "small.ir", "--kernel", "other.c");
    write_file(dir, "old.c", "void twice(void *a) { (void)a; }\n");
    ASSERT_FTC(dir, 2, err, "old.c: it was not made with this version's ftc_kernel.h", "compile", "small.ir",
               "--kernel", "old.c");
    write_file(dir, "lacks.c",
               "#include \"ftc_kernel.h\"\nvoid nobody_has_this(void);\nvoid twice(const ftc_kernel_args *a) "
               "{ (void)a; "
               "nobody_has_this(); }\n");
    ASSERT_FTC(dir, 2, err, "nobody_has_this", "compile", "small.ir", "--kernel", "lacks.c");
    write_file(dir, "syntax.c", "void twice(\n");
    ASSERT_FTC(dir, 2, err, "--kernel syntax.c: ", "compile", "small.ir", "--kernel", "syntax.c");
    ASSERT_FTC(dir, 2, err, "--kernel none.c: ", "compile", "small.ir", "--kernel", "none.c");
    ASSERT_FTC(dir, 2, err, "expected a .c, .ll or .o file", "compile", "small.ir", "--kernel", "small.ir");
    scratch_free(dir);
}

// --- the language -------------------------------------------------------------------------------------

Test(kernels, are_told_in_the_language) {
    static const char *const CASES[][2] = {
        {"fn f(x; A) extern \"not a name\" { return x }\nh = f(x; X)\n",
         "'not a name' is not the name of a C function"},
        {"fn f(x; A) extern \"ftc_step\" { return x }\nh = f(x; X)\n", "begins with ftc_"},
        {"fn f(x; A) extern { return x }\nh = f(x; X)\n", "the name of a function in quotes"},
        {"fn f(x; A) extern \"f\" (x, w) { return x }\nh = f(x; X)\n", "kernel f: f has no parameter 'w'"},
        {"fn f(x, name; A) extern \"f\" { return x }\nh = f(x, \"n\"; X)\n",
         "a tensor is needed here, not text"},
        {"fn f(x; A) extern \"f\" { return x * param \"w\" f32[(A)] }\nh = f(x; X)\n",
         "f has a kernel, which is not given \"w\""},
        {"fn f(x, a, b, c, d, e, g, i, j, k, l, m, n, o, p, q) extern \"f\" { return x }\n"
         "h = f(x, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)\n",
         "a kernel takes at most 15 operands"},
        {"axis S ragged B <= 3, T = S\ninput s : f32[B, S]\nfn f(x, s) extern \"f\" { return x }\n"
         "h = f(x, outer (s * rename(s; S -> T)))\n",
         "case.ir:9:5: error: extern: operand 1 of kernel f is f32[B, S, T], over two axes"},
    };
    char *dir = test_directory();
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *text = NULL;
        if (asprintf(&text,
                     "model small\naxis B <= 4\naxis X = 3, C = 2\ninput x : f32[B, X]\ninput label : i32[B] "
                     "in C\n"
                     "%soutput loss = mean(cross_entropy(linear(\"in\", h; X -> C), label; C); B)\n",
                     CASES[i][0]) < 0)
            abort();
        write_file(dir, "case.ir", text);
        free(text);
        ASSERT_FTC(dir, 2, err, CASES[i][1], "compile", "case.ir");
    }
    scratch_free(dir);
}
