/* SPDX-License-Identifier: MIT */
/*
 * Images of saved VMs: a file with named sections and guest memory (image_reg.h).
 *
 * Writing: into a file FILE.tmp in the same directory, which gets its name when all of it is
 * on the disk; until then an older file of that name stays, and a failure leaves nothing behind.
 *
 * Reading: header, end record, table and all sections are checked when the image is opened; each
 * chunk of memory before it is used. A damaged image is refused in one line. Raw memory that is
 * mapped is not checked: reading it all is what the map avoids.
 *
 * Checksums find damage, not intent: a reader that parses a section treats it as hostile. What an
 * image names was checked when it was written, if the worker was confined (confine/vouch.h).
 *
 * Thread: any that may sleep on a file system; an image belongs to one thread at a time.
 */
#ifndef SAVE_IMAGE_H
#define SAVE_IMAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/gmem.h"

struct image_section {
	const char *name; /* below IMAGE_NAME_MAX characters */
	const void *bytes;
	size_t size;
};

struct image_content {
	const struct image_section *sections;
	uint32_t section_count;
	const struct gmem *gmem; /* nothing changes it meanwhile */
	bool raw;                /* memory can be mapped; larger */
	/* Any thread reads the first and sets the second. */
	_Atomic uint64_t done; /* bytes of guest memory */
	atomic_bool cancelled; /* image_write() ends with -ECANCELED */
};

/* 0, or -errno with one line in e. */
int image_write(const char *path, struct image_content *content, struct err *e);

struct image;

/* Takes nothing from the file that is not checked. 0, or -errno with one line in e. */
int image_open(struct image **image, const char *path, struct err *e);
/* The same of an open file, which stays the caller's; name: in errors. */
int image_open_fd(struct image **image, int fd, const char *name, struct err *e);
void image_close(struct image *image);

/* NULL: it has none of this name. Valid until image_close(). */
const void *image_section(const struct image *image, const char *name, size_t *size);
uint64_t image_memory_size(const struct image *image);
bool image_is_raw(const struct image *image);
/* Fills memory of image_memory_size() bytes, which is zero. */
int image_load(struct image *image, const struct gmem *gmem, struct err *e);
/* A raw image: creates memory that is a private mapping of the file. */
int image_map(struct image *image, struct gmem *gmem, struct err *e);

#endif
