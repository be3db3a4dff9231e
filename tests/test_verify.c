// The verifier finds what a broken pass would leave behind.
#include <criterion/criterion.h>
#include <string.h>

#include "ir/build.h"
#include "ir/verify.h"
#include "tests/random_graph.h"

typedef struct {
    test_axes t;
    ftc_graph *g;
    ftc_id x, w, product, sum; // [B, S, H], [H], [B, S, H], [B, S]
} fixture;

static fixture begin(void) {
    fixture f = {.t = test_axes_new("verify")};
    ftc_axes h = test_list(1, f.t.H);
    f.g = f.t.g;
    f.x = test_input(f.g, "x", FTC_F32, test_list(3, f.t.B, f.t.S, f.t.H), FTC_NO_AXIS);
    f.w = test_param(f.g, "w", h);
    f.product = ftc_build_map2(f.g, FTC_OP_mul, f.x, f.w);
    f.sum = ftc_build_sum(f.g, f.product, &h);
    ftc_graph_add_output(f.g, "sum", f.sum, 0xf);
    return f;
}

// Expects one fault whose text has `part`; NULL: none.
static void check(fixture *f, const char *part) {
    ftc_diagnostics d = {0};
    bool ok = ftc_verify_graph(f->g, &d);
    cr_expect_eq(ok, !part, "%s", d.count ? d.list[0].text : part);
    if (part && d.count)
        cr_expect(strstr(d.list[0].text, part) != NULL, "'%s' lacks '%s'", d.list[0].text, part);
    ftc_diag_free(&d);
    ftc_graph_free(f->g);
}

static ftc_node assign_w(const fixture *f, ftc_id value) {
    ftc_node node = {.op = FTC_OP_assign, .n_args = 1, .arg = {value}, .decl = f->g->nodes[f->w].decl};
    return node;
}

Test(verify, accepts_what_is_right) {
    fixture f = begin();
    ftc_build(f.g, assign_w(&f, ftc_build_map1(f.g, FTC_OP_neg, f.w)));
    check(&f, NULL);
}

Test(verify, finds_faults_of_nodes) {
    fixture f = begin();
    f.g->nodes[f.product].arg[1] = f.sum;
    check(&f, "does not come before");
    f = begin();
    f.g->nodes[f.product].n_args = 1;
    check(&f, "wrong number of operands");
    f = begin();
    f.g->nodes[f.sum].type.dtype = FTC_I32;
    check(&f, "its type is i32[B, S], the operation gives f32[B, S]");
    f = begin();
    f.g->nodes[f.sum].axes = test_list(1, f.t.A);
    check(&f, "axis A is summed over");
    f = begin();
    f.g->nodes[f.sum].type.axes = test_list(1, f.t.S);
    check(&f, "axis S without B");
    f = begin();
    f.g->nodes[f.product].kernel = 3;
    check(&f, "kernel does not exist");
    f = begin();
    f.g->outputs[0].node = 99;
    check(&f, "output sum is no node");
}

Test(verify, finds_faults_of_declarations) {
    fixture f = begin();
    ftc_graph_append(f.g, f.g->nodes[f.w]);
    check(&f, "w has 2 leaves");
    f = begin();
    ftc_id value = ftc_build_map1(f.g, FTC_OP_neg, f.w);
    ftc_build(f.g, assign_w(&f, value));
    ftc_build(f.g, assign_w(&f, value));
    check(&f, "w is assigned 2 times");
    f = begin();
    f.g->decls[f.g->nodes[f.w].decl].dims[0] = test_list(1, f.t.A);
    check(&f, "the stored form of w has other axes");
    f = begin();
    f.g->extents[f.g->axes[f.t.S].extent].over = f.t.T;
    check(&f, "ragged over T, which is ragged itself");
}

Test(verify, finds_faults_of_kernels) {
    fixture f = begin();
    ftc_kernel kernel = {.kind = FTC_KERNEL_ROWS, .name = "k", .block = FTC_NO_AXIS};
    uint32_t a = ftc_graph_add_kernel(f.g, kernel), b = ftc_graph_add_kernel(f.g, kernel);
    ftc_id last = ftc_build_map1(f.g, FTC_OP_exp, f.sum);
    f.g->nodes[f.product].kernel = f.g->nodes[last].kernel = a;
    f.g->nodes[f.sum].kernel = b;
    check(&f, "not contiguous");

    f = begin();
    a = ftc_graph_add_kernel(f.g, kernel), b = ftc_graph_add_kernel(f.g, kernel);
    ftc_id negative = ftc_build_map1(f.g, FTC_OP_neg, f.w), assign = ftc_build(f.g, assign_w(&f, negative));
    ftc_id late = ftc_build_map1(f.g, FTC_OP_exp, f.w);
    f.g->nodes[negative].kernel = f.g->nodes[assign].kernel = a;
    f.g->nodes[late].kernel = b;
    check(&f, "reads a tensor after its assignment");
}

Test(verify, finds_faults_of_memory) {
    fixture f = begin();
    f.g->arena_bytes = 640; // 20 tokens × 6 × 4 bytes are 480
    f.g->nodes[f.product].offset = 128;
    check(&f, NULL);
    f = begin();
    f.g->arena_bytes = 640;
    f.g->nodes[f.product].offset = 192;
    check(&f, "ends beyond the arena");
    f = begin();
    f.g->arena_bytes = 640;
    f.g->nodes[f.product].offset = 16;
    check(&f, "not aligned");
}
