// Functions of models/encoder.ir against what transformers computes: files that tests/parity/make_families.py
// writes. (Whole families: tests/parity/families.py.)
#include <string.h>

#include "ir/interpret.h"
#include "ir/lang/parse.h"
#include "ir/print.h"
#include "tests/paths.h"

// The values of f(distance) at distances from -n/2 to n/2, against a file of n numbers.
static void expect_buckets(const char *function, const char *more, const char *file) {
    enum { N = 1023 };
    char *path = test_golden(file), *folder = test_directory(), *text, *name;
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    cr_assert(asprintf(&text,
                       "model m use \"encoder.ir\"\naxis N = %d\n"
                       "output bucket = %s(index(N) - %d%s)",
                       N, function, N / 2, more) > 0);
    ftc_diagnostics d = {0};
    char *functions = ftc_parse_read(FTC_SOURCE_ROOT "/models/encoder.ir", &d);
    const ftc_library_file installed[] = {{"models/encoder.ir", functions}, {0}};
    char *model = test_write(folder, "m.ir", text, strlen(text));
    free(text);
    text = ftc_parse_read_model(model, installed, &name, &d);
    cr_assert_not_null(text, "%s", d.count ? d.list[0].text : "");
    ftc_graph *g = ftc_parse_text(name, text, NULL, &d);
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    int64_t *extents = calloc(g->n_extents, sizeof *extents), n;
    const int32_t **lengths = calloc(g->n_extents, sizeof *lengths);
    double **tensors = calloc(g->n_decls + 1, sizeof *tensors);
    ftc_bindings bindings = {.extents = extents, .lengths = lengths, .tensors = tensors, .step = 1};
    ftc_interp *interp = ftc_interp_new(g, &bindings);
    ftc_interp_run(interp);
    const double *got = ftc_interp_value(interp, g->outputs[0].node, &n);
    cr_assert_eq(n, N);
    for (int i = 0; i < N; i++) {
        double expected;
        cr_assert_eq(fscanf(f, "%lf", &expected), 1);
        cr_expect_eq(got[i], expected, "distance %d: %g, transformers has %g", i - N / 2, got[i], expected);
    }
    fclose(f);
    ftc_interp_free(interp);
    ftc_graph_free(g);
    free(tensors);
    free(lengths);
    free(extents);
    remove(model);
    remove(folder);
    free(functions);
    free(model);
    free(folder);
    free(path);
    free(text);
    free(name);
}

Test(families, buckets_of_mpnet) {
    expect_buckets("t5_bucket", "", "families/t5_buckets.txt");
}

Test(families, buckets_of_deberta) {
    expect_buckets("deberta_bucket", ", 256, 512", "families/deberta_buckets.txt");
}

// The flat text of ModernBERT where local attention is so wide, without the line that says how wide.
static char *local_attention(const char *width) {
    const ftc_override list[] = {{"local", width, "test", FTC_OVERRIDE_CONFIG},
                                 {"layers", "2", "test", FTC_OVERRIDE_CONFIG}};
    ftc_diagnostics d = {0};
    char *name, *functions = ftc_parse_read(FTC_SOURCE_ROOT "/models/encoder.ir", &d);
    const ftc_library_file installed[] = {{"models/encoder.ir", functions}, {0}};
    char *text = ftc_parse_read_model(FTC_SOURCE_ROOT "/models/modernbert.ir", installed, &name, &d);
    ftc_graph *g = text ? ftc_parse_text(name, text, &(ftc_settings){list, 2}, &d) : NULL;
    cr_assert_not_null(g, "%s", d.count ? d.list[0].text : "");
    char *flat = ftc_print_text(g), *line = strstr(flat, "    local = "), *end = strchr(line, '\n');
    memmove(line, end, strlen(end) + 1);
    ftc_graph_free(g);
    free(functions);
    free(text);
    free(name);
    return flat;
}

// A token sees half of the width to either side, an odd one rounded down, as transformers has it.
Test(families, window_of_modernbert) {
    char *odd = local_attention("9"), *even = local_attention("8"), *wider = local_attention("10");
    cr_expect_str_eq(odd, even);
    cr_expect_str_neq(odd, wider);
    free(odd);
    free(even);
    free(wider);
}
