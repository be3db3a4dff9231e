// Checkpoints: a run that is interrupted and resumed ends in the same bytes as one that was not.
#include "runtime/hub/safetensors.h"
#include "runtime/loop/train.h"
#include "runtime/json.h"
#include "runtime/loop/folder.h"
#include "tests/bag_model.h"
#include "tests/scratch.h"

#include <math.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// A run's watcher: raises the stop flag after so many steps, counts evaluations.
typedef struct {
    volatile sig_atomic_t stop;
    int steps, stop_after, stop_in_evaluation,
        stop_at_start; // behind what is evaluated before the first step
    double train_loss;
} watcher;

static void on_progress(void *context, const ftc_progress *progress) {
    watcher *w = context;
    bool training = strcmp(progress->what, "train") == 0;
    if (training && ++w->steps == w->stop_after) w->stop = SIGTERM;
    if (!training && w->stop_in_evaluation) w->stop = SIGINT;
}

static void on_log(void *context, const cJSON *line) {
    watcher *w = context;
    const cJSON *loss = cJSON_GetObjectItemCaseSensitive(line, "train_loss");
    if (loss) w->train_loss = loss->valuedouble;
    if (w->stop_at_start && cJSON_GetObjectItemCaseSensitive(line, "step")->valuedouble == 0)
        w->stop = SIGHUP;
}

static ftc_train_options options_for(const char *output) {
    ftc_train_options options = ftc_train_options_native();
    options.lr = 0.05;
    options.dropout = 0.2;
    options.output = output;
    return options;
}

static ftc_status train_once(const ftc_train_options *options, watcher *w) {
    ftc_dataset train = bag_dataset(45, 1), test = bag_dataset(20, 2); // 6 batches an epoch, the last of 5
    ftc_threads *pool;
    ftc_model_state state;
    ASSERT_OK(ftc_threads_create(2, &pool));
    ASSERT_OK(
        ftc_model_state_create(&BAG_PROGRAM, ftc_train_entries(options, true), &ftc_world_alone, &state));
    ftc_model_state_init(&state, 1);
    ftc_model_files files = {.config.n_labels = BAG_CLASSES};
    ftc_training training = {
        .program = &BAG_PROGRAM,
        .state = &state,
        .threads = pool,
        .train = &train,
        .test = &test,
        .options = options,
        .files = &files,
        .events = {.context = w, .log = on_log, .progress = on_progress},
        .stop = &w->stop,
    };
    ftc_status status = ftc_train(&training, NULL);
    ftc_model_state_free(&state);
    ftc_threads_free(pool);
    ftc_dataset_free(&train);
    ftc_dataset_free(&test);
    return status;
}

static bool has(const char *dir, const char *name) {
    char *path = ftc_path_join(dir, name);
    bool found = ftc_file_exists(path);
    free(path);
    return found;
}

// Runs to the end in one directory; in another, interrupted as the watcher says and resumed; compares.
static void check_resume(ftc_train_options options, watcher interruption) {
    char *dir = test_directory(), *whole = ftc_path_join(dir, "whole"), *cut = ftc_path_join(dir, "cut");
    watcher undisturbed = {0}, resumed = {0};
    options.output = whole;
    ASSERT_OK(train_once(&options, &undisturbed));

    options.output = cut;
    ASSERT_FAILS(train_once(&options, &interruption), FTC_INTERRUPTED, "continue with --resume");
    cr_assert_lt(interruption.steps, undisturbed.steps);
    cr_assert_not(has(cut, "model.safetensors"));
    options.resume = "last";
    ASSERT_OK(train_once(&options, &resumed));
    cr_assert_eq(interruption.steps + resumed.steps, undisturbed.steps);
    cr_assert_eq(resumed.train_loss, undisturbed.train_loss);

    assert_same_file(whole, "model.safetensors", cut, "model.safetensors");
    assert_same_file(whole, "checkpoint-18/model.safetensors", cut, "checkpoint-18/model.safetensors");
    assert_same_file(whole, "checkpoint-18/optimizer.safetensors", cut,
                     "checkpoint-18/optimizer.safetensors");
    free(whole);
    free(cut);
    scratch_free(dir);
}

Test(checkpoint, resume_in_the_middle_of_an_epoch) {
    check_resume(options_for(NULL), (watcher){.stop_after = 8});
}

Test(checkpoint, resume_at_the_end_of_an_epoch) {
    check_resume(options_for(NULL), (watcher){.stop_after = 12});
}

Test(checkpoint, resume_from_within_an_evaluation) {
    check_resume(options_for(NULL), (watcher){.stop_in_evaluation = 1});
}

Test(checkpoint, resume_with_accumulation_and_clipping) {
    ftc_train_options options = options_for(NULL);
    options.batch = 4; // 12 batches, 6 steps an epoch
    options.accumulation = 2;
    options.max_grad_norm = 0.1;
    check_resume(options, (watcher){.stop_after = 7});
}

// Its order depends on how many evaluations were before the epoch, and not on those within it.
Test(checkpoint, resume_with_batches_of_one_length) {
    ftc_train_options options = options_for(NULL);
    options.sampling = FTC_SAMPLING_GROUP_BY_LENGTH;
    options.eval_strategy = FTC_WHEN_STEPS;
    options.eval_steps = 4;
    check_resume(options, (watcher){.stop_after = 10});
    check_resume(options, (watcher){.stop_after = 12});
    options.eval_on_start = true;
    check_resume(options, (watcher){.stop_at_start = 1});
}

Test(checkpoint, a_directory_holds_what_it_should) {
    char *dir = test_directory();
    ftc_train_options options = options_for(dir);
    watcher w = {0};
    ASSERT_OK(train_once(&options, &w));
    static const char *const MODEL[] = {"config.json", "model.safetensors", "model.ir"};
    char *checkpoint = ftc_path_join(dir, "checkpoint-18");
    for (size_t i = 0; i < sizeof MODEL / sizeof *MODEL; i++) {
        cr_assert(has(dir, MODEL[i]), "%s", MODEL[i]);
        cr_assert(has(checkpoint, MODEL[i]), "%s", MODEL[i]);
    }
    cr_assert_not(has(dir, "model.saving"));
    cr_assert_not(has(dir, "checkpoint-12")); // the native loop keeps the newest
    cr_assert_not(has(dir, "checkpoint-18.saving"));

    cJSON *state;
    char *path = ftc_path_join(checkpoint, "trainer_state.json");
    ASSERT_OK(ftc_json_read(path, &state));
    cr_assert_eq(cJSON_GetObjectItemCaseSensitive(state, "global_step")->valuedouble, 18);
    cr_assert_eq(cJSON_GetObjectItemCaseSensitive(state, "epoch")->valuedouble, 3);
    cr_assert_eq(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(state, "log_history")), 18 + 3);
    cJSON_Delete(state);

    ftc_safetensors *moments;
    char *optimizer = ftc_path_join(checkpoint, "optimizer.safetensors");
    ASSERT_OK(ftc_safetensors_open(optimizer, &moments));
    cr_assert_eq(ftc_safetensors_count(moments), 4);
    cr_assert_not_null(ftc_safetensors_find(moments, "bert.embeddings.word_embeddings.weight.exp_avg_sq"));
    ftc_safetensors_close(moments);
    free(optimizer);
    free(path);
    free(checkpoint);
    scratch_free(dir);
}

Test(checkpoint, limits_and_the_best_one) {
    char *dir = test_directory();
    ftc_train_options options = options_for(dir);
    options.epochs = 4;
    options.lr = 3; // it soon gets worse
    options.save_total_limit = 2;
    options.load_best = true;
    watcher w = {0};
    ASSERT_OK(train_once(&options, &w));
    int left = 0;
    int64_t best = 0;
    for (int step = 6; step <= 24; step += 6) {
        char *path = ftc_checkpoint_path(dir, step);
        left += ftc_file_exists(path);
        free(path);
    }
    cr_assert_eq(left, 2);
    cJSON *state;
    char *path = ftc_path_join(dir, "checkpoint-24/trainer_state.json");
    ASSERT_OK(ftc_json_read(path, &state));
    cr_assert(ftc_json_count(cJSON_GetObjectItemCaseSensitive(state, "best_global_step"), &best));
    char *best_dir = ftc_checkpoint_path(dir, best);
    assert_same_file(dir, "model.safetensors", best_dir, "model.safetensors");
    cJSON_Delete(state);
    free(best_dir);
    free(path);
    scratch_free(dir);
}

// Trainer's rule: at each checkpoint, the best model is the one to end with if a checkpoint has it.
static int64_t step_of_trainer(const cJSON *history, int64_t save_steps, bool *is_best) {
    double best = INFINITY;
    int64_t best_step = 0, saved = 0;
    const cJSON *line;
    cJSON_ArrayForEach(line, history) {
        const cJSON *loss = cJSON_GetObjectItemCaseSensitive(line, "eval_loss");
        int64_t step = (int64_t)cJSON_GetObjectItemCaseSensitive(line, "step")->valuedouble;
        if (!loss) continue;
        if (loss->valuedouble < best) {
            best = loss->valuedouble;
            best_step = step;
        }
        if (step % save_steps == 0 && best_step % save_steps == 0) saved = best_step;
    }
    *is_best = saved == best_step;
    return saved;
}

// Where checkpoints are rarer than evaluations, the best model may be in none.
Test(checkpoint, the_best_may_be_in_no_checkpoint) {
    bool some_best = false, some_other = false;
    for (int way = 0; way < 6; way++) {
        char *dir = test_directory();
        ftc_train_options options = options_for(dir);
        options.epochs = 4;
        options.seed = way;
        options.lr = way % 2 ? 3 : 0.3;
        options.eval_strategy = options.save_strategy = FTC_WHEN_STEPS;
        options.eval_steps = 2;
        options.save_steps = way < 3 ? 4 : 12;
        options.save_total_limit = way == 2 ? 1 : 0;
        options.load_best = true;
        watcher w = {0};
        ASSERT_OK(train_once(&options, &w));
        cJSON *state;
        bool is_best;
        char *path = ftc_path_join(dir, "checkpoint-24/trainer_state.json");
        if (way != 2) {
            ASSERT_OK(ftc_json_read(path, &state));
            const cJSON *history = cJSON_GetObjectItemCaseSensitive(state, "log_history");
            int64_t step = step_of_trainer(history, (int64_t)options.save_steps, &is_best);
            const cJSON *best = cJSON_GetObjectItemCaseSensitive(state, "best_model_checkpoint");
            char *expected = ftc_checkpoint_path(dir, step ? step : 24);
            cr_assert(step ? strcmp(best->valuestring, expected) == 0 : cJSON_IsNull(best));
            assert_same_file(dir, "model.safetensors", expected, "model.safetensors");
            some_best |= is_best;
            some_other |= !is_best;
            free(expected);
            cJSON_Delete(state);
        } else { // the newest goes at the end
            int left = 0;
            for (int step = 4; step <= 24; step += 4) {
                char *checkpoint = ftc_checkpoint_path(dir, step);
                left += ftc_file_exists(checkpoint);
                free(checkpoint);
            }
            cr_assert_eq(left, 1);
        }
        free(path);
        scratch_free(dir);
    }
    cr_assert(some_best && some_other);
}

// What TrainingArguments refuses is refused before anything is trained; what it accepts runs.
Test(checkpoint, the_best_is_refused_as_by_trainer) {
    static const struct {
        ftc_when eval, save;
        double eval_steps, save_steps;
        bool load_best;
        const char *metric, *refusal;
    } CASES[] = {
        {FTC_WHEN_STEPS, FTC_WHEN_EPOCH, 2, 2, true, NULL, "the same"},
        {FTC_WHEN_STEPS, FTC_WHEN_NO, 2, 2, true, NULL, "the same"},
        {FTC_WHEN_NO, FTC_WHEN_EPOCH, 2, 2, true, NULL, "the same"},
        {FTC_WHEN_STEPS, FTC_WHEN_STEPS, 4, 6, true, NULL, "6 is none of 4"},
        {FTC_WHEN_STEPS, FTC_WHEN_STEPS, 0.1, 5, true, NULL, "both as fractions"},
        {FTC_WHEN_STEPS, FTC_WHEN_STEPS, 5, 0.5, true, NULL, "both as fractions"},
        {FTC_WHEN_STEPS, FTC_WHEN_STEPS, 0.2, 0.5, true, NULL, "0.5 is none of 0.2"},
        {FTC_WHEN_STEPS, FTC_WHEN_STEPS, 0.1, 0.3, true, NULL, NULL},
        {FTC_WHEN_STEPS, FTC_WHEN_STEPS, 4, 6, false, "loss", NULL},
        {FTC_WHEN_EPOCH, FTC_WHEN_BEST, 4, 6, false, NULL, "--metric-for-best-model"},
        {FTC_WHEN_EPOCH, FTC_WHEN_BEST, 4, 6, true, NULL, NULL},
        {FTC_WHEN_NO, FTC_WHEN_NO, 4, 6, true, NULL, NULL},
        {FTC_WHEN_NO, FTC_WHEN_BEST, 4, 6, false, "loss", NULL},
        {FTC_WHEN_EPOCH, FTC_WHEN_EPOCH, 4, 6, true, "eval_f1", NULL},
        {FTC_WHEN_EPOCH, FTC_WHEN_EPOCH, 4, 6, true, "pearson", "accuracy, f1, precision"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *dir = test_directory();
        ftc_train_options options = options_for(dir);
        options.max_steps = 7;
        options.eval_strategy = CASES[i].eval;
        options.save_strategy = CASES[i].save;
        options.eval_steps = CASES[i].eval_steps;
        options.save_steps = CASES[i].save_steps;
        options.load_best = CASES[i].load_best;
        options.best_metric = CASES[i].metric;
        watcher w = {0};
        ftc_status status = train_once(&options, &w);
        if (CASES[i].refusal) {
            ASSERT_FAILS(status, FTC_BAD_INPUT, CASES[i].refusal);
            cr_assert_eq(w.steps, 0, "case %zu", i);
        } else {
            ASSERT_OK(status);
            cr_assert(has(dir, "model.safetensors"), "case %zu", i);
        }
        scratch_free(dir);
    }
}

// A directory of Hugging Face's Trainer is no checkpoint of ftc, which is said with what to do instead.
Test(checkpoint, what_others_saved_is_not_resumed) {
    char *dir = test_directory();
    ftc_train_options options = options_for(dir);
    options.save_only_model = true;
    watcher w = {0};
    ASSERT_OK(train_once(&options, &w));
    char *path = ftc_path_join(dir, "checkpoint-18");
    cr_assert(has(path, "trainer_state.json") && !has(path, "resume.json"));
    options.resume = path;
    ASSERT_FAILS(train_once(&options, &w), FTC_BAD_INPUT, "--pretrained");
    options.resume = "last";
    ASSERT_FAILS(train_once(&options, &w), FTC_BAD_INPUT, "--pretrained DIR");
    free(path);
    scratch_free(dir);
}

// Checkpoints that others left in the folder are neither removed nor, before those of this run, resumed; one
// that was half removed is neither.
Test(checkpoint, only_its_own_are_removed_and_the_highest_complete_one_is_resumed) {
    char *dir = test_directory(), *other = ftc_checkpoint_path(dir, 7000),
         *half = ftc_checkpoint_path(dir, 9000);
    ftc_train_options options = options_for(dir);
    options.save_total_limit = 2;
    watcher w = {.stop_after = 14}, v = {0};
    ASSERT_OK(ftc_dir_make(other));
    ASSERT_OK(ftc_dir_make(half));
    for (int i = 0; i < 2; i++) free(test_write(i ? half : other, "model.safetensors", "x", 1));
    ASSERT_FAILS(train_once(&options, &w), FTC_INTERRUPTED, "interrupted after step 14");
    cr_assert(has(other, "model.safetensors"));
    cr_assert_not(has(dir, "checkpoint-6")); // the third newest
    char *latest = ftc_checkpoint_latest(dir, NULL);
    cr_assert(latest && strstr(latest, "checkpoint-14"), "%s", latest);
    free(latest);
    // Nor are names that no run gives.
    static const char *const NAMES[] = {"checkpoint-015", "checkpoint-+16", "checkpoint- 17",
                                        "checkpoint-99999999999999999999"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        char *command;
        cr_assert(asprintf(&command, "cp -r '%s/checkpoint-14' '%s/%s'", dir, dir, NAMES[i]) > 0);
        cr_assert_eq(system(command), 0);
        free(command);
    }
    latest = ftc_checkpoint_latest(dir, NULL);
    cr_assert(latest && strstr(latest, "checkpoint-14"), "%s", latest);
    free(latest);
    // File times say nothing.
    char *copy = ftc_path_join(dir, "checkpoint-12/model.safetensors");
    struct timespec later[2] = {{.tv_sec = 4000000000}, {.tv_sec = 4000000000}};
    cr_assert_eq(utimensat(AT_FDCWD, copy, later, 0), 0);
    latest = ftc_checkpoint_latest(dir, NULL);
    cr_assert(latest && strstr(latest, "checkpoint-14"), "%s", latest);
    char *state = ftc_path_join(latest, "resume.json");
    cr_assert_eq(remove(state), 0);
    free(latest);
    char *passed_over;
    latest = ftc_checkpoint_latest(dir, &passed_over);
    cr_assert(latest && strstr(latest, "checkpoint-12"), "%s", latest);
    cr_assert(passed_over && strstr(passed_over, "checkpoint-14"), "%s", passed_over);
    free(passed_over);
    options.resume = "last";
    ASSERT_OK(train_once(&options, &v));
    free(latest);
    free(state);
    free(copy);
    free(other);
    free(half);
    scratch_free(dir);
}

static ftc_folder_request request_for(const char *dir) {
    return (ftc_folder_request){.dir = dir};
}

Test(folder, is_for_one_run_at_a_time) {
    char *root = test_directory(), *dir = ftc_path_join(root, "a/b");
    ftc_folder_request request = request_for(dir);
    ftc_folder first, second;
    ASSERT_OK(ftc_folder_claim(&request, &first));
    char who[64];
    snprintf(who, sizeof who, "(process %d, started 20", (int)getpid());
    request.overwrite = true; // which does not mean that
    ASSERT_FAILS(ftc_folder_claim(&request, &second), FTC_BAD_INPUT, who);
    ftc_folder_release(&first, false);
    cr_assert_not(ftc_file_exists(dir)); // nothing came of it
    ASSERT_OK(ftc_folder_claim(&request, &first));
    // A holder that is killed is no obstacle.
    pid_t child = fork();
    if (child == 0) {
        close(first.file);
        _exit(ftc_folder_claim(&request, &second).code == FTC_OK);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(WEXITSTATUS(status), 0);
    close(first.file);
    ASSERT_OK(ftc_folder_claim(&request, &second));
    ftc_folder_release(&second, true);
    first.file = -1;
    ftc_folder_release(&first, true);
    free(dir);
    scratch_free(root);
}

Test(folder, files_of_others_are_not_replaced) {
    char *dir = test_directory();
    ftc_folder_request request = request_for(dir);
    ftc_folder folder;
    free(test_write(dir, "README.md", "mine", 4));
    ASSERT_FAILS(ftc_folder_claim(&request, &folder), FTC_BAD_INPUT,
                 "holds README.md, which no earlier ftc run has written");
    cr_assert_not(has(dir, ".ftc-run"));
    request.overwrite = true;
    ASSERT_OK(ftc_folder_claim(&request, &folder));
    ftc_folder_release(&folder, false); // a run that saved nothing does not make the folder its own
    request.overwrite = false;
    ASSERT_FAILS(ftc_folder_claim(&request, &folder), FTC_BAD_INPUT, "README.md");
    request.overwrite = true;
    ASSERT_OK(ftc_folder_claim(&request, &folder));
    ftc_folder_release(&folder, true);
    request.overwrite = false;
    ASSERT_OK(ftc_folder_claim(&request, &folder)); // what a run writes, a run has written
    ftc_folder_release(&folder, true);
    char *other = ftc_path_join(dir, "other"); // a run of its own, further below
    ASSERT_OK(ftc_dir_make(other));
    ASSERT_FAILS(ftc_folder_claim(&request, &folder), FTC_BAD_INPUT, "holds other, which no earlier");
    free(test_write(other, ".ftc-run", "process 1, started\n", 19));
    ASSERT_OK(ftc_folder_claim(&request, &folder));
    ftc_folder_release(&folder, true);
    free(other);
    char *half = ftc_path_join(dir, "checkpoint-5.removing");
    ASSERT_OK(ftc_dir_make(half));
    char *metrics = test_write(dir, "m.jsonl", "{\"step\":", 8);
    request.metrics = metrics;
    ASSERT_OK(ftc_folder_claim(&request, &folder));
    ftc_folder_release(&folder, true);
    cr_assert_not(ftc_file_exists(half));
    request.metrics = NULL;
    ASSERT_FAILS(ftc_folder_claim(&request, &folder), FTC_BAD_INPUT, "m.jsonl");
    free(metrics);
    free(half);
    scratch_free(dir);
}

Test(checkpoint, another_run_is_not_resumed) {
    char *dir = test_directory();
    ftc_train_options options = options_for(dir);
    watcher w = {.stop_after = 8}, v = {0};
    options.resume = "last";
    ASSERT_FAILS(train_once(&options, &v), FTC_BAD_INPUT, "no checkpoint to resume from");
    options.resume = NULL;
    ASSERT_FAILS(train_once(&options, &w), FTC_INTERRUPTED, "interrupted after step 8 of 18");
    options.resume = "last";
    options.batch = 4;
    ASSERT_FAILS(train_once(&options, &v), FTC_BAD_INPUT, "was made with batch = 8, this run has 4");
    options.batch = 8;
    options.seed = 1;
    ASSERT_FAILS(train_once(&options, &v), FTC_BAD_INPUT, "--seed");
    options.seed = 42;
    options.sampling = FTC_SAMPLING_SEQUENTIAL;
    ASSERT_FAILS(train_once(&options, &v), FTC_BAD_INPUT, "--no-shuffle");
    scratch_free(dir);
}

Test(checkpoint, damage_is_named) {
    char *dir = test_directory(), *moments = ftc_path_join(dir, "checkpoint-8/optimizer.safetensors");
    char *state = ftc_path_join(dir, "checkpoint-8/resume.json");
    ftc_train_options options = options_for(dir);
    watcher w = {.stop_after = 8}, v = {0};
    ASSERT_FAILS(train_once(&options, &w), FTC_INTERRUPTED, "interrupted");
    options.resume = "last";
    ASSERT_OK(ftc_file_write(moments, "xxxxxxxxxxxx", 12));
    ASSERT_FAILS(train_once(&options, &v), FTC_BAD_INPUT, "optimizer.safetensors");
    ASSERT_OK(ftc_file_write(state, "{}", 2));
    ASSERT_FAILS(train_once(&options, &v), FTC_BAD_INPUT, "resume.json: lacks");
    free(moments);
    free(state);
    scratch_free(dir);
}

// Whatever stands in resume.json: it is refused, or the run ends.
Test(checkpoint, numbers_of_no_run_are_refused) {
    static const char *const BAD[][2] = {{"step", "4000000000"},
                                         {"step", "1e300"},
                                         {"step", "-1"},
                                         {"epochs_ended", "1000000"},
                                         {"epochs_ended", "0"},
                                         {"events_step", "9"},
                                         {"last_logged", "900"},
                                         {"best_step", "70"},
                                         {"epoch_examples", "46"},
                                         {"epoch_correct", "1000"},
                                         {"stale_evaluations", "1e15"},
                                         {"drawn", "9e15"},
                                         {"window_loss", "\"nan\""},
                                         {"total_loss", "\"1e999\""},
                                         {"epoch_loss", "\"x\""},
                                         {"window_seconds", "7"}};
    char *dir = test_directory(), *path = ftc_path_join(dir, "checkpoint-8/resume.json");
    ftc_train_options options = options_for(dir);
    watcher w = {.stop_after = 8}, v = {0};
    ASSERT_FAILS(train_once(&options, &w), FTC_INTERRUPTED, "interrupted");
    cJSON *good;
    ASSERT_OK(ftc_json_read(path, &good));
    options.resume = "last";
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        cJSON *bad = cJSON_Duplicate(good, 1);
        cr_assert(cJSON_ReplaceItemInObjectCaseSensitive(bad, BAD[i][0], cJSON_Parse(BAD[i][1])));
        ASSERT_OK(ftc_json_write(path, bad));
        ASSERT_FAILS(train_once(&options, &v), FTC_BAD_INPUT, "it cannot be resumed");
        cJSON_Delete(bad);
    }
    ASSERT_OK(ftc_json_write(path, good));
    ASSERT_OK(train_once(&options, &v));
    cJSON_Delete(good);
    free(path);
    scratch_free(dir);
}

// A checkpoint that stands is replaced whole; a model that is not finite replaces nothing.
Test(checkpoint, what_is_not_finite_is_not_saved) {
    char *dir = test_directory();
    ftc_train_options options = options_for(dir);
    ftc_model_state state;
    ASSERT_OK(ftc_model_state_create(&BAG_PROGRAM, ~0u, &ftc_world_alone, &state));
    ftc_model_state_init(&state, 1);
    ftc_model_files files = {.config.n_labels = BAG_CLASSES};
    ftc_train_state train = {.step = 1, .history = ftc_history_make()};
    ASSERT_OK(ftc_history_open(&train.history, dir));
    ftc_train_identity identity = {.steps_per_epoch = 2, .max_steps = 2};
    ASSERT_OK(ftc_checkpoint_save(&options, &state, &files, &train, &identity));
    ((float *)ftc_model_state_tensor(&state, BAG_W))[5] = 1;
    ASSERT_OK(ftc_checkpoint_save(&options, &state, &files, &train, &identity)); // over the first
    ((float *)ftc_model_state_tensor(&state, BAG_W))[7] = NAN;
    ASSERT_FAILS(ftc_checkpoint_save(&options, &state, &files, &train, &identity), FTC_FAILED,
                 "element 7 of \"bert.");
    ASSERT_FAILS(ftc_model_save(dir, &state, &files), FTC_FAILED, "element 7");
    cr_assert_not(has(dir, "model.saving"));
    cr_assert_not(has(dir, "checkpoint-1.saving"));
    cr_assert_not(has(dir, "model.safetensors"));

    ftc_train_state back = {.history = ftc_history_make()};
    char *path = ftc_checkpoint_path(dir, 1);
    ASSERT_OK(ftc_checkpoint_restore(path, &state, &identity, &back));
    cr_assert_eq(((float *)ftc_model_state_tensor(&state, BAG_W))[5], 1);
    cr_assert(isfinite(((float *)ftc_model_state_tensor(&state, BAG_W))[7]));
    ftc_train_state_free(&back);
    ftc_train_state_free(&train);
    ftc_model_state_free(&state);
    free(path);
    scratch_free(dir);
}

// Every line of a long run is in the file; in memory stay all evaluations and so many of the steps as a
// report can draw, one in every so many.
Test(checkpoint, the_log_is_bounded_in_memory_and_whole_on_the_disk) {
    enum { STEPS = 5 * FTC_HISTORY_STEPS / 2, EVERY = 1000 };
    char *dir = test_directory();
    ftc_history history = ftc_history_make();
    ASSERT_OK(ftc_history_open(&history, dir));
    for (int step = 1; step <= STEPS; step++) {
        for (int eval = 0; eval <= (step % EVERY == 0); eval++) {
            cJSON *line = cJSON_CreateObject();
            cJSON_AddNumberToObject(line, "step", step);
            cJSON_AddNumberToObject(line, eval ? "eval_loss" : "loss", 0.5);
            ftc_history_add(&history, line);
        }
    }
    int steps = 0, evaluations = 0;
    const cJSON *line;
    cJSON_ArrayForEach(line, history.lines) {
        if (cJSON_HasObjectItem(line, "eval_loss"))
            evaluations++;
        else
            cr_assert_eq(cJSON_GetObjectItemCaseSensitive(line, "step")->valueint, 4 * steps++ + 1);
    }
    cr_assert_eq(evaluations, STEPS / EVERY);
    cr_assert(steps > FTC_HISTORY_STEPS / 2 && steps <= FTC_HISTORY_STEPS, "%d", steps);

    cJSON *object = cJSON_CreateObject(), *back;
    cJSON_AddNumberToObject(object, "global_step", STEPS);
    char *path = ftc_path_join(dir, "trainer_state.json");
    ASSERT_OK(ftc_history_write(&history, object, path));
    ASSERT_OK(ftc_json_read(path, &back));
    int i = 0;
    cJSON_ArrayForEach(line, cJSON_GetObjectItemCaseSensitive(back, "log_history")) {
        cr_assert_eq(cJSON_GetObjectItemCaseSensitive(line, "step")->valueint, i + 1 - (i + 1) / (EVERY + 1));
        i++;
    }
    cr_assert_eq(i, STEPS + evaluations);
    cJSON_Delete(back);
    cJSON_Delete(object);
    ftc_history_free(&history);
    free(path);
    scratch_free(dir);
}
