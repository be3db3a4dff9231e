// What processes send each other while they compute: how much it is, how long it took, and how much of that
// time nobody computed.
#ifndef FTC_RUNTIME_TRAFFIC_H
#define FTC_RUNTIME_TRAFFIC_H

#include "runtime/json.h"
#include "runtime/loop/world.h"

#include <stdbool.h>

// Zero but for the world, to begin with.
typedef struct {
    const ftc_world *world;
    int64_t bytes_sent; // by this process
    double seconds;     // in which something was under way, up to when nothing was
    double waited;      // of these, those in which this process was busy with nothing else
    int32_t under_way;  // transfers
    double since;       // when the first of these was begun
} ftc_traffic;

// As begin_share and begin_exchange of the world.
ftc_transfer *ftc_traffic_share(ftc_traffic *traffic, void *values, const int64_t *starts);
ftc_transfer *ftc_traffic_exchange(ftc_traffic *traffic, const float *send, const int64_t *send_starts,
                                   float *receive, const int64_t *receive_starts);

// Looks after a transfer, and thereby after all that are under way: MPI moves data only when it is called.
// One that is over becomes NULL; NULL is over.
void ftc_traffic_look(ftc_traffic *traffic, ftc_transfer **transfer);
void ftc_traffic_wait(ftc_traffic *traffic, ftc_transfer **transfer);

// The seconds in which something was under way up to now.
double ftc_traffic_seconds(const ftc_traffic *traffic);

// The share of the seconds under way in which the process computed; 0: nothing was under way.
double ftc_traffic_hidden(const ftc_traffic *traffic);

// Adds to a log line what was sent in each of so many steps, how long that took, and which share was hidden.
void ftc_traffic_report(const ftc_traffic *traffic, double steps, cJSON *line);

#endif
