// A training loop of one's own: teaches a model to tell good reviews from bad ones, and saves it.
//   cc loop.c $(pkg-config --cflags --libs ftc) -o loop && ./loop MODEL TOKENIZER_DIR OUTPUT_DIR
#include <ftc.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const TEXTS[] = {"The soup was wonderful and the waiter was friendly.",
                                    "Cold food, rude staff. Never again!",
                                    "What a charming film, I loved every scene.",
                                    "A dull plot and terrible acting.",
                                    "Excellent service, fair prices.",
                                    "It broke after one day. Awful.",
                                    "A beautiful book, warmly recommended.",
                                    "A waste of time and money."};
static const float LABELS[] = {1, 0, 1, 0, 1, 0, 1, 0};
enum { N = sizeof TEXTS / sizeof *TEXTS, BATCH = 4, LENGTH = 64, STEPS = 40 };

static void must(ftc_error *error) {
    if (!error) return;
    fprintf(stderr, "loop: %s\n", ftc_error_message(error));
    exit(ftc_error_status(error));
}

int main(int argc, char **argv) {
    ftc_net *net;
    ftc_tokenizer *tokenizer;
    ftc_trainer *trainer;
    if (argc != 4) return fprintf(stderr, "usage: loop MODEL TOKENIZER_DIR OUTPUT_DIR\n"), 2;
    must(ftc_net_open(argv[1], NULL, &net)); // compiles MODEL.ir, or loads MODEL.ftc
    must(ftc_tokenizer_load(argv[2], &tokenizer));
    must(ftc_trainer_create(net, &(ftc_trainer_options){.seed = 42}, &trainer));
    ftc_trainer_init(trainer); // new weights; or: must(ftc_trainer_load(trainer, DIR));

    int32_t ids[N * LENGTH], count; // the texts' tokens, one text after the other
    int64_t offsets[N + 1] = {0}, cells;
    for (int i = 0; i < N; i++) {
        must(ftc_tokenize(tokenizer, TEXTS[i], NULL, LENGTH, ids + offsets[i], NULL, &count));
        offsets[i + 1] = offsets[i] + count;
    }
    const float *loss = ftc_trainer_output(trainer, "loss", NULL);
    const float *logits = ftc_trainer_output(trainer, "logits", NULL);
    for (int step = 0; step < STEPS; step++) {
        int first = step * BATCH % N;
        must(ftc_trainer_set(trainer, "lr", 5e-3 * (STEPS - step) / STEPS));
        must(ftc_trainer_bind_packed(trainer, BATCH, offsets + first, ids, NULL, LABELS + first));
        must(ftc_trainer_step(trainer));
        if (step % 10 == 9) printf("step %d: loss %.4f\n", step + 1, *loss);
    }

    int correct = 0;
    must(ftc_trainer_bind_packed(trainer, N, offsets, ids, NULL, LABELS));
    must(ftc_trainer_eval(trainer));
    ftc_trainer_output(trainer, "logits", &cells); // [N, classes]
    int64_t classes = cells / N;
    for (int i = 0; i < N; i++) {
        int best = 0;
        for (int c = 1; c < classes; c++)
            best = logits[i * classes + c] > logits[i * classes + best] ? c : best;
        correct += best == LABELS[i];
    }
    printf("%d of %d correct\n", correct, N);
    must(ftc_trainer_save(trainer, argv[3], argv[2], NULL));
    ftc_trainer_free(trainer);
    ftc_tokenizer_free(tokenizer);
    ftc_net_free(net);
    return 0;
}
