// Gradients of data-parallel training. The global batch is cut into shards, whose number does not depend on
// that of the processes; the gradient of each is computed alone, and the gradients are added by a fixed
// binary tree over the numbers of the shards: (((0 + 1) + (2 + 3)) + (4 + 5)) of six. A process adds the
// whole subtrees that it holds, each owner of a slice of the sum gets that slice of all subtrees, and adds
// them in the same tree. So any number of processes comes to the same bits.
//
// Of a parameter that is_sliced, a process owns the rows that it updates (ftc_world_slice), and nobody else
// gets their gradient; the update then brings sums of squares and new values together (ftc_shards_gather).
// Other gradients are cut anywhere and given to all, since all make the same update of them. Of a table whose
// rows may wait (FTC_ROLE_TOUCHED), only the rows that the global batch names are exchanged.
#ifndef FTC_RUNTIME_SHARDS_H
#define FTC_RUNTIME_SHARDS_H

#include "runtime/data/batch.h"
#include "runtime/loop/model_state.h"
#include "runtime/loop/train_options.h"
#include "runtime/loop/traffic.h"

typedef struct ftc_shards ftc_shards;

// For the gradient accumulators of `state`; all three outlive it. n >= the processes. With FTC_WIRE_BF16 the
// subtrees' gradients are rounded to bf16 where processes exchange them, and added in f32; what they are then
// depends on the number of processes, but not on anything else.
ftc_status ftc_shards_create(ftc_model_state *state, const ftc_world *world, int32_t n, ftc_wire wire,
                             ftc_shards **out);
void ftc_shards_free(ftc_shards *shards);

// For each optimizer step, in this order:

// No rows are named, and nothing is summed.
void ftc_shards_begin(ftc_shards *shards);

// The rows of tables that this batch reads get a gradient in this step. Every process names those of every
// shard.
void ftc_shards_name(ftc_shards *shards, const ftc_batch *batch);

// The next call of the entry grad is the last one for this shard. If that is the last shard of this process,
// gradients are exchanged as soon as they are complete (ftc_shards_ready), behind the rest of the call.
// Without it, once they are taken. Fails when there is no memory for them.
ftc_status ftc_shards_expect(ftc_shards *shards, int32_t shard);

// Moves the gradient of a shard of this process out of the accumulators, which are zero then. In ascending
// order. Fails when there is no memory for it.
ftc_status ftc_shards_take(ftc_shards *shards, int32_t shard);

// Brings the sum over all shards into the accumulators of each process that updates by it, and leaves the
// named rows to the update. All new values of the update before are there then.
void ftc_shards_finish(ftc_shards *shards);

// The update that follows has been called: new values are on their way, and go on behind what comes next.
void ftc_shards_updated(ftc_shards *shards);

// Returns when all new values are there; NULL: they are. ftc_model_state_tensor and entries wait for what
// they read.
void ftc_shards_settle(ftc_shards *shards);

// The ftc_step_args.ready, gather and await of which the ftc_shards is the context.
void ftc_shards_ready(void *context, int32_t tensor);
void ftc_shards_gather(void *context, void *values, int64_t rows, int64_t row_bytes);
void ftc_shards_await(void *context, int32_t tensor);

// So far; lives as long as the shards.
const ftc_traffic *ftc_shards_traffic(const ftc_shards *shards);

#endif
