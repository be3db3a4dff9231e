// Texts of models, and dumps: what is read is printed and read back the same.
#include <stdlib.h>

#include "ir/lang/parse.h"
#include "ir/print.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size), why[200];
    ftc_diagnostics d = {0};
    ftc_graph *g = ftc_parse_text("fuzz", text, NULL, &d);
    if (!g != !!d.count) abort();
    if (g) {
        char *printed = ftc_print_text(g), *resolved = ftc_parse_resolve("fuzz", text, NULL, &d);
        ftc_graph *again = ftc_parse_text("print", printed, NULL, &d);
        if (!again || !ftc_graph_equal(g, again, why, sizeof why)) abort();
        ftc_graph_free(again);
        ftc_graph_free(g);
        free(resolved);
        free(printed);
    }
    ftc_diag_free(&d);
    free(text);
    return 0;
}
