// Recurrences of every kind, as models: tests compare what is made of them.
#ifndef FTC_TESTS_RECURRENCES_H
#define FTC_TESTS_RECURRENCES_H

#include "ir/graph.h"

// The model number i, from 0; NULL: there are no more.
ftc_graph *test_recurrence(int i);

#endif
