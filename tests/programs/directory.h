/*
 * Programs that work in a directory, and tell of the files in it by their absolute names.
 */
#ifndef DIRECTORY_H
#define DIRECTORY_H

#include <limits.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "account.h"

static char dir[PATH_MAX];

/* An absolute name below DIR. */
static inline char *in_dir(const char *name)
{
	char *path;

	MUST(asprintf(&path, "%s/%s", dir, name));
	return path;
}

/* The identity of a file. */
static inline void account_file(const struct stat *st)
{
	account_number("major", major(st->st_dev));
	account_number("minor", minor(st->st_dev));
	account_number("inode", st->st_ino);
}

#endif
