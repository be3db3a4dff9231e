// Binds inputs over two ragged axes: learns which pairs of questions ask for the same thing.
//   cc two-texts.c $(pkg-config --cflags --libs ftc) -o two-texts && ./two-texts two-texts.ir TOKENIZER_DIR
#include <ftc.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 4, LENGTH = 32, STEPS = 100 };

static const char *const LEFT[N] = {"Is the food good?", "How is the service?", "Is it far?", "Is it cheap?"};
static const char *const RIGHT[N] = {"Did you like the soup and the bread?", "Was the staff friendly?",
                                     "Was the waiter rude?", "Are the prices fair?"};
static const float SAME[N] = {1, 1, 0, 1};

typedef struct { // texts, one after the other
    int64_t offsets[N + 1];
    int32_t ids[N * LENGTH];
} packed;

static void must(ftc_error *error) {
    if (!error) return;
    fprintf(stderr, "two-texts: %s\n", ftc_error_message(error));
    exit(ftc_error_status(error));
}

static packed pack(const ftc_tokenizer *tokenizer, const char *const *texts) {
    packed p = {{0}, {0}};
    for (int i = 0; i < N; i++) {
        int32_t count;
        must(ftc_tokenize(tokenizer, texts[i], NULL, LENGTH, p.ids + p.offsets[i], NULL, &count));
        p.offsets[i + 1] = p.offsets[i] + count;
    }
    return p;
}

static void print_extents(const ftc_net *net) {
    int32_t n;
    const ftc_extent_desc *extents = ftc_net_extents(net, &n);
    for (int32_t i = 0; i < n; i++)
        printf("%s: %s, at most %d\n", extents[i].name,
               extents[i].ragged_over ? "a length for each element of B" : "elements", (int)extents[i].most);
}

int main(int argc, char **argv) {
    ftc_net *net;
    ftc_tokenizer *tokenizer;
    ftc_trainer *trainer;
    if (argc != 3) return fprintf(stderr, "usage: two-texts MODEL TOKENIZER_DIR\n"), 2;
    must(ftc_net_open(argv[1], NULL, &net));
    must(ftc_tokenizer_load(argv[2], &tokenizer));
    must(ftc_trainer_create(net, &(ftc_trainer_options){.seed = 42}, &trainer));
    ftc_trainer_init(trainer);
    print_extents(net);

    packed left = pack(tokenizer, LEFT), right = pack(tokenizer, RIGHT);
    const ftc_extent_size extents[] = {{"S", N, left.offsets}, {"U", N, right.offsets}}; // B: N, as they say
    const ftc_input_cells inputs[] = {{"left", left.ids}, {"right", right.ids}, {"same", SAME}};
    must(ftc_trainer_bind_inputs(trainer, extents, 2, inputs, 3));
    for (int step = 0; step < STEPS; step++) must(ftc_trainer_step(trainer));

    int64_t cells;
    must(ftc_trainer_eval(trainer));
    const float *score = ftc_trainer_output(trainer, "score", &cells);
    for (int i = 0; i < cells; i++)
        printf("%s: %s %s\n", score[i] > 0.5f ? "the same" : "another", LEFT[i], RIGHT[i]);
    ftc_trainer_output(trainer, "match", &cells); // [B, S]: the blocks of the left texts
    printf("match has %d cells, the left texts %d tokens\n", (int)cells, (int)left.offsets[N]);
    ftc_trainer_free(trainer);
    ftc_tokenizer_free(tokenizer);
    ftc_net_free(net);
    return 0;
}
