// freeze: marks the parameters that the train block excludes from training.
//
// A frozen parameter gets no gradient, no moments and no update; what the backward pass would compute for it
// alone is never built, since differentiate asks which values a trained parameter can change.
#include <stdlib.h>

#include "compiler/passes/groups.h"
#include "compiler/passes/passes.h"
#include "ir/base/alloc.h"

bool ftc_pass_freeze(ftc_graph *g, const ftc_pass_options *options, ftc_diagnostics *d) {
    bool *frozen = ftc_alloc(g->n_decls + 1, sizeof *frozen), ok = ftc_groups_freeze(g, frozen, d);
    bool any = false, trained = false;
    for (uint32_t i = 0; i < g->n_decls && ok; i++) {
        if (g->decls[i].kind != FTC_DECL_PARAM) continue;
        g->decls[i].frozen |= frozen[i];
        any |= frozen[i];
        trained |= !g->decls[i].frozen;
    }
    free(frozen);
    for (uint32_t i = 0; i < g->n_decls && options->entry != FTC_ENTRY_EVAL; i++) {
        const ftc_decl_def *decl = &g->decls[i];
        if (decl->kind != FTC_DECL_PARAM || decl->frozen || decl->type.dtype == FTC_F32) continue;
        ftc_diag_add(d, decl->loc.line ? g->files[decl->loc.file] : NULL, NULL, (int)decl->loc.line, 0,
                     "parameter %s is %s, and only f32 is trained; declare it frozen, or as f32", decl->name,
                     ftc_dtype_name(decl->type.dtype));
        ok = false;
    }
    if (ok && any && !trained && options->entry != FTC_ENTRY_EVAL) {
        ftc_diag_add(d, g->model, NULL, 0, 0,
                     "freeze: all parameters are frozen, so that nothing is left to train");
        ok = false;
    }
    return ok;
}
