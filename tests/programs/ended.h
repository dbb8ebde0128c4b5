/* A program that goes on until SIGTERM. */
#ifndef ENDED_H
#define ENDED_H

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static inline void end_at_sigterm(void)
{
	struct sigaction action = { .sa_handler = end };

	sigaction(SIGTERM, &action, NULL);
}

#endif
