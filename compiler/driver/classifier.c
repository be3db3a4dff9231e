#include "compiler/driver/classifier.h"

#include "compiler/driver/blas.h"

#include <stdio.h>

static const uint32_t EVAL = 1u << FTC_ENTRY_EVAL;

static ftc_status load(const ftc_command *self, const char *dir, const ftc_data_options *data,
                       int64_t threads, ftc_classifier *c) {
    const ftc_program *program = c->model.program;
    ftc_sgemm_fn *sgemm = NULL;
    ftc_load_report report;
    if (program->needs_sgemm) FTC_RETURN_IF_ERROR(ftc_blas_open(&sgemm));
    if (!threads) threads = ftc_world_threads(c->world, ftc_threads_available());
    FTC_RETURN_IF_ERROR(ftc_threads_create((int32_t)threads, &c->threads));
    FTC_RETURN_IF_ERROR(ftc_program_check_memory(program, EVAL, ftc_threads_count(c->threads), FTC_ALL_ROWS));
    FTC_RETURN_IF_ERROR(ftc_batch_check_feed(program));
    ftc_data_options texts = *data;
    texts.is_silent = c->world->rank > 0;
    if (ftc_program_reads_text(program))
        FTC_RETURN_IF_ERROR(ftc_data_tokenizer(program, dir, &texts, &c->tokenizer, &c->max_length));
    FTC_RETURN_IF_ERROR(ftc_hf_config_read(dir, &c->config));
    FTC_RETURN_IF_ERROR(ftc_model_state_create(program, EVAL, &ftc_world_alone, &c->state));
    FTC_RETURN_IF_ERROR(ftc_model_state_load(&c->state, dir, 0, &report));
    if (report.n_initialized > 0 && c->world->rank == 0) {
        fprintf(stderr, "ftc %s: %s lacks %s%s: its answers mean nothing before it is trained\n", self->name,
                dir, report.initialized[0], report.n_initialized > 1 ? " and more" : "");
    }
    ftc_load_report_free(&report);
    FTC_RETURN_IF_ERROR(ftc_stepper_create(program, &c->state, c->threads, EVAL, sgemm, &c->stepper));
    return ftc_batch_create(program, &c->batch);
}

int ftc_classifier_open(const ftc_command *self, const char *dir, const ftc_model_options *options,
                        const ftc_data_options *data, int64_t threads, ftc_classifier *out) {
    ftc_diagnostics d = {0};
    ftc_classifier c = {.world = &ftc_world_alone};
    ftc_model_options own = *options;
    own.is_used = true;
    int code = ftc_status_report(self->name, ftc_world_open(&c.world));
    if (code != FTC_EXIT_OK) return code;
    if (c.world->rank > 0 && !freopen("/dev/null", "w", stdout)) code = FTC_EXIT_USAGE;
    if (code == FTC_EXIT_OK && !ftc_model_open_dir(dir, &own, EVAL, &c.model, &d))
        code = ftc_diag_report(self->name, &d);
    if (code == FTC_EXIT_OK) code = ftc_status_report(self->name, load(self, dir, data, threads, &c));
    if (code != FTC_EXIT_OK) return ftc_classifier_close(&c, code);
    *out = c;
    out->stepper.state = &out->state; // it has moved
    return FTC_EXIT_OK;
}

int ftc_classifier_close(ftc_classifier *c, int code) {
    fflush(stdout); // what has been answered: whoever fails is not asked any more
    if (code == FTC_EXIT_OK)
        c->world->end();
    else
        c->world->fail(code);
    ftc_batch_free(&c->batch);
    ftc_stepper_free(&c->stepper);
    ftc_model_state_free(&c->state);
    ftc_hf_config_free(c->config);
    ftc_tokenizer_close(c->tokenizer);
    ftc_threads_free(c->threads);
    ftc_model_close(&c->model);
    *c = (ftc_classifier){0};
    return code;
}

void ftc_classifier_tell_pairs(const ftc_classifier *c, bool has_pairs) {
    if (has_pairs || c->world->rank > 0 || !ftc_hf_config_is_of_pairs(c->config)) return;
    fputs("the model has learned from pairs of texts, and these stand alone: of a file, name the second ones "
          "by --pair-column; ftc predict takes --pairs\n",
          stderr);
}

ftc_status ftc_classifier_evaluate(ftc_classifier *c, const ftc_dataset *dataset, ftc_evaluation *out) {
    return ftc_evaluate(&c->stepper, &c->batch, dataset, c->batch.max_rows, c->world, NULL, out);
}
