// A program over libftc that goes on when a call fails: with tests/exhaust.c preloaded, memory runs out in
// one of them. Then does everything again; ends with 0 when that went well, else as the error says.
//
//   exhaust_api MODEL.ftc TOKENIZER_DIR OUTPUT_DIR
#include "compiler/api/ftc.h"

#include <stdio.h>

#define TRY(call)                                                                                            \
    do {                                                                                                     \
        if ((error = (call))) goto done;                                                                     \
    } while (0)

static ftc_error *train(const char *model, const char *directory, const char *output) {
    enum { LENGTH = 8, SEQUENCES = 2 };
    ftc_error *error;
    ftc_net *net = NULL;
    ftc_tokenizer *tokenizer = NULL;
    ftc_trainer *trainer = NULL;
    int32_t ids[SEQUENCES * LENGTH], count;
    int64_t offsets[SEQUENCES + 1] = {0};
    const float labels[SEQUENCES] = {0, 1};
    TRY(ftc_net_open(model, NULL, &net));
    TRY(ftc_tokenizer_load(directory, &tokenizer));
    TRY(ftc_trainer_create(net, &(ftc_trainer_options){.threads = 2}, &trainer));
    ftc_trainer_init(trainer);
    for (int i = 0; i < SEQUENCES; i++) {
        TRY(ftc_tokenize(tokenizer, "a wonderful soup", NULL, LENGTH, ids + offsets[i], NULL, &count));
        offsets[i + 1] = offsets[i] + count;
    }
    TRY(ftc_trainer_set(trainer, "lr", 0.01));
    TRY(ftc_trainer_bind_packed(trainer, SEQUENCES, offsets, ids, NULL, labels));
    TRY(ftc_trainer_step(trainer));
    TRY(ftc_trainer_eval(trainer));
    TRY(ftc_trainer_save(trainer, output, directory, NULL));
    TRY(ftc_trainer_load(trainer, output));
done:
    ftc_trainer_free(trainer);
    ftc_tokenizer_free(tokenizer);
    ftc_net_free(net);
    return error;
}

int main(int argc, char **argv) {
    if (argc != 4) return fprintf(stderr, "usage: exhaust_api MODEL.ftc TOKENIZER_DIR OUTPUT_DIR\n"), 1;
    int status = 2;
    for (int i = 0; i < 2 && status; i++) {
        ftc_error *error = train(argv[1], argv[2], argv[3]);
        status = error ? ftc_error_status(error) : 0;
        if (error) fprintf(stderr, "%s\n", ftc_error_message(error));
        ftc_error_free(error);
    }
    return status;
}
