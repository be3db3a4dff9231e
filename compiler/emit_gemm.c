#include "compiler/emit_gemm.h"

#include <stdio.h>

enum {
    MAX_ACCUMULATORS = 32,
    FLOATS_PER_LINE = 64 / sizeof(float),
    PREFETCH_ROWS = 16, // packing reads a few lines a row, too little for the hardware to see the rows coming
    PREFETCH_K = 32,    // so does the product when A is contiguous along m: a line for each k
};

// The extents of packed panels are chosen so that the accumulators, one row of B and one broadcast element of
// A fit in the vector registers: 8 * 3 + 3 + 1 of 32, 6 * 2 + 2 + 1 and 4 * 2 + 2 + 1 of 16.
ftc_gemm_shape ftc_gemm_shape_for(const ftc_target *target) {
    int lanes = target->vector_bits / 32;
    ftc_gemm_shape shape = target->vector_registers >= 32 ? (ftc_gemm_shape){.rows = 8, .vectors = 3}
                           : target->fma                  ? (ftc_gemm_shape){.rows = 6, .vectors = 2}
                                                          : (ftc_gemm_shape){.rows = 4, .vectors = 2};
    shape.cols = shape.vectors * lanes;
    shape.k_chunk = 384;
    return shape;
}

int64_t ftc_packed_size(const ftc_target *target, int64_t k, int64_t n) {
    int cols = ftc_gemm_shape_for(target).cols;
    return (n + cols - 1) / cols * cols * k;
}

LLVMValueRef ftc_emit_packed_size(ftc_codegen *cg, LLVMValueRef k, LLVMValueRef n) {
    return ftc_cg_mul(cg, k, ftc_cg_round_up(cg, n, ftc_gemm_shape_for(cg->target).cols));
}

// --- packing ---------------------------------------------------------------------------------------------

// Transposes a lanes × lanes block held in v[lanes]: stage by stage, pairs of rows at distance d exchange the
// halves of their groups of 2d lanes.
static void transpose_vectors(ftc_codegen *cg, LLVMValueRef *v, int lanes) {
    for (int d = 1; d < lanes; d *= 2) {
        int low[FTC_CG_MAX_LANES], high[FTC_CG_MAX_LANES];
        for (int i = 0; i < lanes; i++) {
            bool upper = i & d;
            low[i] = upper ? lanes + i - d : i;
            high[i] = upper ? lanes + i : i + d;
        }
        for (int r = 0; r < lanes; r++) {
            if (r & d) continue;
            LLVMValueRef a = v[r], b = v[r + d];
            v[r] = ftc_cg_shuffle(cg, a, b, low, lanes);
            v[r + d] = ftc_cg_shuffle(cg, a, b, high, lanes);
        }
    }
}

// void ftc.pack.n(b, ld, k, n, packed): for each panel, for each k, one row of the panel.
static LLVMValueRef pack_n_function(ftc_codegen *cg) {
    LLVMValueRef found = ftc_cg_function_find(cg, "ftc.pack.n");
    if (found) return found;
    LLVMTypeRef params[] = {cg->ptr, cg->i64, cg->i64, cg->i64, cg->ptr};
    ftc_cg_function f =
        ftc_cg_function_begin(cg, "ftc.pack.n", cg->void_type, params, 5, FTC_CG_OUTLINED, true);
    LLVMValueRef arg[5];
    LLVMGetParams(f.function, arg);
    LLVMValueRef b = arg[0], ld = arg[1], k = arg[2], n = arg[3], packed = arg[4];

    int cols = ftc_gemm_shape_for(cg->target).cols;
    LLVMTypeRef row_type = ftc_cg_vector_type(cg, cg->f32, cols); // LLVM splits it into what the target has
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1), width = ftc_cg_i64(cg, cols);
    ftc_cg_loop panels = ftc_cg_loop_begin(cg, zero, n, width);
    LLVMValueRef left = ftc_cg_sub(cg, n, panels.index), mask = ftc_cg_tail_mask(cg, left, cols);
    LLVMValueRef source = ftc_cg_at(cg, cg->f32, b, panels.index);
    LLVMValueRef panel = ftc_cg_at(cg, cg->f32, packed, ftc_cg_mul(cg, panels.index, k));
    ftc_cg_if full = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSGE, left, width));
    for (int masked = 0; masked <= 1; masked++) {
        if (masked) ftc_cg_if_else(cg, &full);
        ftc_cg_loop rows = ftc_cg_loop_begin(cg, zero, k, one);
        LLVMValueRef from = ftc_cg_at(cg, cg->f32, source, ftc_cg_mul(cg, rows.index, ld));
        LLVMValueRef ahead = ftc_cg_mul(cg, ld, ftc_cg_i64(cg, PREFETCH_ROWS));
        for (int j = 0; j < cols; j += FLOATS_PER_LINE)
            ftc_cg_prefetch(cg, from, ftc_cg_add(cg, ahead, ftc_cg_i64(cg, j)));
        LLVMValueRef x =
            masked ? ftc_cg_load_masked(cg, row_type, from, mask) : ftc_cg_load(cg, row_type, from);
        ftc_cg_store(cg, x, ftc_cg_at(cg, cg->f32, panel, ftc_cg_mul(cg, rows.index, width)));
        ftc_cg_loop_end(cg, &rows);
    }
    ftc_cg_if_end(cg, &full);
    ftc_cg_loop_end(cg, &panels);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

// One vector of columns of a panel (columns from col0; `to` is where its first k goes), block by block of
// lanes × lanes that are transposed in registers. The last block is moved back to end at k: what it writes
// again is the same. Columns past n repeat column 0. Needs k >= lanes.
static void pack_t_vectors(ftc_codegen *cg, LLVMValueRef b, LLVMValueRef ld, LLVMValueRef k, LLVMValueRef n,
                           LLVMValueRef col0, LLVMValueRef to) {
    int lanes = cg->lanes, cols = ftc_gemm_shape_for(cg->target).cols;
    LLVMTypeRef vector = ftc_cg_vector_type(cg, cg->f32, lanes);
    LLVMValueRef zero = ftc_cg_i64(cg, 0), step = ftc_cg_i64(cg, lanes);
    LLVMValueRef column[FTC_CG_MAX_LANES], v[FTC_CG_MAX_LANES];
    for (int r = 0; r < lanes; r++) {
        LLVMValueRef col = ftc_cg_add(cg, col0, ftc_cg_i64(cg, r));
        col = ftc_cg_select(cg, ftc_cg_compare(cg, LLVMIntSLT, col, n), col, zero);
        column[r] = ftc_cg_at(cg, cg->f32, b, ftc_cg_mul(cg, col, ld));
    }
    ftc_cg_loop depth = ftc_cg_loop_begin(cg, zero, k, step);
    LLVMValueRef k0 = ftc_cg_min(cg, depth.index, ftc_cg_sub(cg, k, step));
    for (int r = 0; r < lanes; r++) v[r] = ftc_cg_load(cg, vector, ftc_cg_at(cg, cg->f32, column[r], k0));
    transpose_vectors(cg, v, lanes);
    LLVMValueRef block = ftc_cg_at(cg, cg->f32, to, ftc_cg_mul(cg, k0, ftc_cg_i64(cg, cols)));
    for (int i = 0; i < lanes; i++)
        ftc_cg_store_aligned(cg, v[i], ftc_cg_at(cg, cg->f32, block, ftc_cg_i64(cg, (int64_t)i * cols)),
                             lanes * 4);
    ftc_cg_loop_end(cg, &depth);
}

// The same for k < lanes, element by element.
static void pack_t_elements(ftc_codegen *cg, LLVMValueRef b, LLVMValueRef ld, LLVMValueRef k, LLVMValueRef n,
                            LLVMValueRef col0, LLVMValueRef to) {
    LLVMValueRef zero = ftc_cg_i64(cg, 0), one = ftc_cg_i64(cg, 1);
    LLVMValueRef cols = ftc_cg_i64(cg, ftc_gemm_shape_for(cg->target).cols);
    LLVMValueRef here = ftc_cg_min(cg, ftc_cg_sub(cg, n, col0), ftc_cg_i64(cg, cg->lanes));
    ftc_cg_loop col = ftc_cg_loop_begin(cg, zero, here, one);
    ftc_cg_loop depth = ftc_cg_loop_begin(cg, zero, k, one);
    LLVMValueRef from = ftc_cg_add(cg, ftc_cg_mul(cg, ftc_cg_add(cg, col0, col.index), ld), depth.index);
    LLVMValueRef element = ftc_cg_load(cg, cg->f32, ftc_cg_at(cg, cg->f32, b, from));
    LLVMValueRef at = ftc_cg_add(cg, ftc_cg_mul(cg, depth.index, cols), col.index);
    ftc_cg_store(cg, element, ftc_cg_at(cg, cg->f32, to, at));
    ftc_cg_loop_end(cg, &depth);
    ftc_cg_loop_end(cg, &col);
}

// void ftc.pack.t(b, ld, k, n, packed): one vector of columns after the other, up to the last that has one
// below n.
static LLVMValueRef pack_t_function(ftc_codegen *cg) {
    LLVMValueRef found = ftc_cg_function_find(cg, "ftc.pack.t");
    if (found) return found;
    LLVMTypeRef params[] = {cg->ptr, cg->i64, cg->i64, cg->i64, cg->ptr};
    ftc_cg_function f =
        ftc_cg_function_begin(cg, "ftc.pack.t", cg->void_type, params, 5, FTC_CG_OUTLINED, true);
    LLVMValueRef arg[5];
    LLVMGetParams(f.function, arg);
    LLVMValueRef b = arg[0], ld = arg[1], k = arg[2], n = arg[3], packed = arg[4];

    LLVMValueRef cols = ftc_cg_i64(cg, ftc_gemm_shape_for(cg->target).cols),
                 lanes = ftc_cg_i64(cg, cg->lanes);
    ftc_cg_loop columns = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), n, lanes);
    LLVMValueRef in_panel = ftc_cg_rem(cg, columns.index, cols);
    LLVMValueRef panel = ftc_cg_mul(cg, ftc_cg_sub(cg, columns.index, in_panel), k);
    LLVMValueRef to = ftc_cg_at(cg, cg->f32, packed, ftc_cg_add(cg, panel, in_panel));
    ftc_cg_if deep = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntSGE, k, lanes));
    pack_t_vectors(cg, b, ld, k, n, columns.index, to);
    ftc_cg_if_else(cg, &deep);
    pack_t_elements(cg, b, ld, k, n, columns.index, to);
    ftc_cg_if_end(cg, &deep);
    ftc_cg_loop_end(cg, &columns);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

void ftc_emit_pack(ftc_codegen *cg, bool transposed, LLVMValueRef b, LLVMValueRef ld, LLVMValueRef k,
                   LLVMValueRef n, LLVMValueRef packed) {
    LLVMValueRef function = transposed ? pack_t_function(cg) : pack_n_function(cg);
    ftc_cg_call(cg, function, (LLVMValueRef[]){b, ld, k, n, packed}, 5);
}

// --- the micro-kernel ------------------------------------------------------------------------------------

// void ftc.gemm.<rows>x<vectors>(a, a_row, a_col, b, ldb, c, ldc, k, last, accumulate): a whole `rows` ×
// `vectors` block of accumulators; of the last vector only the first `last` lanes exist in C (whole vectors
// of C are read).
static LLVMValueRef kernel_function(ftc_codegen *cg, int rows, int vectors) {
    char name[32];
    snprintf(name, sizeof name, "ftc.gemm.%dx%d", rows, vectors);
    LLVMTypeRef params[] = {cg->ptr, cg->i64, cg->i64, cg->ptr, cg->i64,
                            cg->ptr, cg->i64, cg->i64, cg->i64, cg->i1};
    ftc_cg_function f = ftc_cg_function_begin(cg, name, cg->void_type, params, 10, FTC_CG_OUTLINED, true);
    LLVMValueRef arg[10];
    LLVMGetParams(f.function, arg);
    LLVMValueRef a = arg[0], a_row = arg[1], a_col = arg[2], b = arg[3], ldb = arg[4], c = arg[5],
                 ldc = arg[6];
    LLVMValueRef k = arg[7], last = arg[8], accumulate = arg[9];

    int lanes = cg->lanes, n_acc = rows * vectors;
    LLVMTypeRef vector = ftc_cg_vector_type(cg, cg->f32, lanes);
    LLVMValueRef acc[MAX_ACCUMULATORS], address[MAX_ACCUMULATORS], a_offset[MAX_ACCUMULATORS];
    // C is needed at the end; the rows of A below are those of the next block, where the hardware does not
    // look yet.
    for (int r = 0; r < rows; r++) {
        a_offset[r] = ftc_cg_mul(cg, a_row, ftc_cg_i64(cg, r));
        ftc_cg_prefetch(cg, a, ftc_cg_mul(cg, a_row, ftc_cg_i64(cg, rows + r)));
        LLVMValueRef c_row = ftc_cg_at(cg, cg->f32, c, ftc_cg_mul(cg, ldc, ftc_cg_i64(cg, r)));
        for (int j = 0; j < vectors; j++) {
            address[r * vectors + j] = ftc_cg_at(cg, cg->f32, c_row, ftc_cg_i64(cg, j * lanes));
            ftc_cg_prefetch(cg, c_row, ftc_cg_i64(cg, j * lanes));
        }
    }

    ftc_cg_loop loop = ftc_cg_loop_begin(cg, ftc_cg_i64(cg, 0), k, ftc_cg_i64(cg, 1));
    LLVMValueRef a_at = ftc_cg_loop_carry(cg, &loop, a), b_at = ftc_cg_loop_carry(cg, &loop, b);
    for (int i = 0; i < n_acc; i++) acc[i] = ftc_cg_loop_carry(cg, &loop, LLVMConstNull(vector));
    ftc_cg_prefetch(cg, a_at, ftc_cg_mul(cg, a_col, ftc_cg_i64(cg, PREFETCH_K)));
    LLVMValueRef b_vector[MAX_ACCUMULATORS];
    for (int j = 0; j < vectors; j++)
        b_vector[j] = ftc_cg_load(cg, vector, ftc_cg_at(cg, cg->f32, b_at, ftc_cg_i64(cg, j * lanes)));
    for (int r = 0; r < rows; r++) {
        LLVMValueRef x = ftc_cg_load(cg, cg->f32, ftc_cg_at(cg, cg->f32, a_at, a_offset[r]));
        x = ftc_cg_splat(cg, x, lanes);
        for (int j = 0; j < vectors; j++) {
            LLVMValueRef *sum = &acc[r * vectors + j];
            ftc_cg_loop_next(&loop, *sum, ftc_cg_fma(cg, x, b_vector[j], *sum));
        }
    }
    ftc_cg_loop_next(&loop, a_at, ftc_cg_at(cg, cg->f32, a_at, a_col));
    ftc_cg_loop_next(&loop, b_at, ftc_cg_at(cg, cg->f32, b_at, ldb));
    ftc_cg_loop_end(cg, &loop);

    ftc_cg_if adding = ftc_cg_if_begin(cg, accumulate);
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(cg->builder)};
    LLVMValueRef sum[MAX_ACCUMULATORS];
    for (int i = 0; i < n_acc; i++) sum[i] = ftc_cg_fadd(cg, ftc_cg_load(cg, vector, address[i]), acc[i]);
    ftc_cg_if_else(cg, &adding);
    from[1] = LLVMGetInsertBlock(cg->builder);
    ftc_cg_if_end(cg, &adding);
    for (int i = 0; i < n_acc; i++) {
        LLVMValueRef phi = LLVMBuildPhi(cg->builder, vector, "");
        LLVMAddIncoming(phi, (LLVMValueRef[]){sum[i], acc[i]}, from, 2);
        sum[i] = phi;
    }
    for (int i = 0; i < n_acc; i++)
        if (i % vectors < vectors - 1) ftc_cg_store(cg, sum[i], address[i]);
    LLVMValueRef mask = ftc_cg_tail_mask(cg, last, lanes);
    ftc_cg_if full = ftc_cg_if_begin(cg, ftc_cg_compare(cg, LLVMIntEQ, last, ftc_cg_i64(cg, lanes)));
    for (int i = vectors - 1; i < n_acc; i += vectors) ftc_cg_store(cg, sum[i], address[i]);
    ftc_cg_if_else(cg, &full);
    for (int i = vectors - 1; i < n_acc; i += vectors) ftc_cg_store_masked(cg, sum[i], address[i], mask);
    ftc_cg_if_end(cg, &full);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

// The table of micro-kernels, [rows - 1][vectors - 1], as a constant.
static LLVMValueRef kernel_table(ftc_codegen *cg, const ftc_gemm_shape *shape) {
    LLVMValueRef kernels[MAX_ACCUMULATORS];
    int n = 0;
    for (int rows = 1; rows <= shape->rows; rows++)
        for (int vectors = 1; vectors <= shape->vectors; vectors++)
            kernels[n++] = kernel_function(cg, rows, vectors);
    LLVMValueRef table = LLVMAddGlobal(cg->module, LLVMArrayType2(cg->ptr, (uint64_t)n), "ftc.gemm.kernels");
    LLVMSetInitializer(table, LLVMConstArray2(cg->ptr, kernels, (uint64_t)n));
    LLVMSetGlobalConstant(table, 1);
    LLVMSetLinkage(table, LLVMInternalLinkage);
    return table;
}

// --- the block -------------------------------------------------------------------------------------------

// void ftc.gemm.block(m, n, k, a, a_row, a_col, b, ldb, panel, c, ldc, accumulate): `panel` is the distance
// of one panel of B from the next. A row block of A stays in L1 while the panels of B pass by.
static LLVMValueRef block_function(ftc_codegen *cg) {
    LLVMValueRef found = ftc_cg_function_find(cg, "ftc.gemm.block");
    if (found) return found;
    LLVMTypeRef params[] = {cg->i64, cg->i64, cg->i64, cg->ptr, cg->i64, cg->i64,
                            cg->ptr, cg->i64, cg->i64, cg->ptr, cg->i64, cg->i1};
    ftc_cg_function f =
        ftc_cg_function_begin(cg, "ftc.gemm.block", cg->void_type, params, 12, FTC_CG_OUTLINED, true);
    LLVMValueRef arg[12];
    LLVMGetParams(f.function, arg);
    LLVMValueRef m = arg[0], n = arg[1], k = arg[2], a = arg[3], a_row = arg[4], a_col = arg[5], b = arg[6];
    LLVMValueRef ldb = arg[7], panel = arg[8], c = arg[9], ldc = arg[10], accumulate = arg[11];

    ftc_gemm_shape shape = ftc_gemm_shape_for(cg->target);
    LLVMValueRef table = kernel_table(cg, &shape);
    LLVMTypeRef kernel_type = LLVMGlobalGetValueType(ftc_cg_function_find(cg, "ftc.gemm.1x1"));
    LLVMValueRef zero = ftc_cg_i64(cg, 0);

    ftc_cg_loop row = ftc_cg_loop_begin(cg, zero, m, ftc_cg_i64(cg, shape.rows));
    LLVMValueRef rows = ftc_cg_min(cg, ftc_cg_sub(cg, m, row.index), ftc_cg_i64(cg, shape.rows));
    LLVMValueRef table_row =
        ftc_cg_mul(cg, ftc_cg_sub(cg, rows, ftc_cg_i64(cg, 1)), ftc_cg_i64(cg, shape.vectors));
    LLVMValueRef a_at = ftc_cg_at(cg, cg->f32, a, ftc_cg_mul(cg, row.index, a_row));
    LLVMValueRef c_row = ftc_cg_at(cg, cg->f32, c, ftc_cg_mul(cg, row.index, ldc));
    ftc_cg_loop col = ftc_cg_loop_begin(cg, zero, n, ftc_cg_i64(cg, shape.cols));
    LLVMValueRef b_at = ftc_cg_loop_carry(cg, &col, b);
    LLVMValueRef cols = ftc_cg_min(cg, ftc_cg_sub(cg, n, col.index), ftc_cg_i64(cg, shape.cols));
    LLVMValueRef whole = ftc_cg_div(cg, ftc_cg_sub(cg, cols, ftc_cg_i64(cg, 1)), ftc_cg_i64(cg, cg->lanes));
    LLVMValueRef last = ftc_cg_sub(cg, cols, ftc_cg_mul(cg, whole, ftc_cg_i64(cg, cg->lanes)));
    LLVMValueRef entry = ftc_cg_at(cg, cg->ptr, table, ftc_cg_add(cg, table_row, whole));
    LLVMValueRef kernel = ftc_cg_load(cg, cg->ptr, entry);
    LLVMValueRef c_at = ftc_cg_at(cg, cg->f32, c_row, col.index);
    LLVMValueRef args[] = {a_at, a_row, a_col, b_at, ldb, c_at, ldc, k, last, accumulate};
    LLVMBuildCall2(cg->builder, kernel_type, kernel, args, 10, "");
    ftc_cg_loop_next(&col, b_at, ftc_cg_at(cg, cg->f32, b_at, panel));
    ftc_cg_loop_end(cg, &col);
    ftc_cg_loop_end(cg, &row);
    ftc_cg_function_end(cg, f, NULL);
    return f.function;
}

void ftc_emit_block(ftc_codegen *cg, const ftc_gemm_block *g) {
    LLVMValueRef function = block_function(cg);
    LLVMValueRef cols = ftc_cg_i64(cg, ftc_gemm_shape_for(cg->target).cols);
    LLVMValueRef ldb = g->ldb ? g->ldb : cols, panel = g->ldb ? cols : ftc_cg_mul(cg, g->k, cols);
    LLVMValueRef args[] = {g->m, g->n, g->k,  g->a, g->a_row, g->a_col,
                           g->b, ldb,  panel, g->c, g->ldc,   g->accumulate};
    ftc_cg_call(cg, function, args, 12);
}
