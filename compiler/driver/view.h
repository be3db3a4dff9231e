// What `ftc view` knows of an artifact, as the data of its page.
#ifndef FTC_DRIVER_VIEW_H
#define FTC_DRIVER_VIEW_H

#include "compiler/artifact.h"
#include "compiler/codegen/listing.h"
#include "compiler/driver/bench.h"
#include "compiler/driver/explanation.h"

// The graph of the step after one of the passes.
typedef struct {
    const char *pass;
    double seconds;
    int32_t n_nodes;
    char *nodes; // a line each, as in a dump; NULL: as after the pass before
} ftc_view_stage;

typedef struct {
    const ftc_manifest *manifest;
    const ftc_graph *g; // of the step, planned
    ftc_explanation why;
    double l2_gigabytes, bf16_gflops;
    ftc_listing listing; // zeros: there is none
    ftc_view_stage *stages;
    int32_t n_stages;
    const ftc_bench_side *measured; // NULL: nothing was
    int64_t steps;                  // that were measured
} ftc_view;

// A JSON object that may stand in a page's script. To be freed.
char *ftc_view_data(const ftc_view *view, ftc_threads *threads);

#endif
