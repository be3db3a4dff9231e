#include "runtime/loop/traffic.h"

#include "ir/base/clock.h"

static ftc_transfer *begun(ftc_traffic *traffic, ftc_transfer *transfer, double start) {
    if (!transfer) return NULL;
    if (traffic->under_way++ == 0) traffic->since = start;
    traffic->waited += ftc_clock_seconds() - start;
    return transfer;
}

ftc_transfer *ftc_traffic_share(ftc_traffic *traffic, void *values, const int64_t *starts) {
    const ftc_world *world = traffic->world;
    double start = ftc_clock_seconds();
    int64_t own = starts[world->rank + 1] - starts[world->rank];
    traffic->bytes_sent += own * (world->size - 1) * (int64_t)sizeof(float);
    return begun(traffic, world->begin_share(values, starts), start);
}

ftc_transfer *ftc_traffic_exchange(ftc_traffic *traffic, const float *send, const int64_t *send_starts,
                                   float *receive, const int64_t *receive_starts) {
    const ftc_world *world = traffic->world;
    double start = ftc_clock_seconds();
    int64_t all = send_starts[world->size] - send_starts[0],
            own = send_starts[world->rank + 1] - send_starts[world->rank];
    traffic->bytes_sent += (all - own) * (int64_t)sizeof(float);
    return begun(traffic, world->begin_exchange(send, send_starts, receive, receive_starts), start);
}

static void look(ftc_traffic *traffic, ftc_transfer **transfer, bool waits) {
    if (!*transfer) return;
    double start = ftc_clock_seconds();
    bool is_over = traffic->world->finish(*transfer, waits);
    double now = ftc_clock_seconds();
    traffic->waited += now - start;
    if (!is_over) return;
    *transfer = NULL;
    if (--traffic->under_way == 0) traffic->seconds += now - traffic->since;
}

void ftc_traffic_look(ftc_traffic *traffic, ftc_transfer **transfer) {
    look(traffic, transfer, false);
}

void ftc_traffic_wait(ftc_traffic *traffic, ftc_transfer **transfer) {
    look(traffic, transfer, true);
}

double ftc_traffic_seconds(const ftc_traffic *traffic) {
    return traffic->seconds + (traffic->under_way ? ftc_clock_seconds() - traffic->since : 0);
}

double ftc_traffic_hidden(const ftc_traffic *traffic) {
    return traffic->seconds > 0 ? 1 - traffic->waited / traffic->seconds : 0;
}

void ftc_traffic_report(const ftc_traffic *traffic, double steps, cJSON *line) {
    double n = steps > 0 ? steps : 1;
    cJSON_AddNumberToObject(line, "train_bytes_sent_per_step", (double)traffic->bytes_sent / n);
    cJSON_AddNumberToObject(line, "train_exchange_seconds_per_step", traffic->seconds / n);
    cJSON_AddNumberToObject(line, "train_exchange_hidden", ftc_traffic_hidden(traffic));
}
