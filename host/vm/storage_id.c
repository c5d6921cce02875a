/* SPDX-License-Identifier: MIT */
/* Identifiers of the VM's disks: no two are the same, whatever the disks are. */
#include <stdio.h>
#include <string.h>

#include "vm/storage.h"

static bool is_taken(const struct storage *s, const struct storage_disk *d)
{
	list_for_each (item, &s->disks) {
		const struct storage_disk *other = container_of(item, struct storage_disk, link);

		if (other != d && !memcmp(other->id, d->id, sizeof(d->id)))
			return true;
	}
	return false;
}

/* Disks of one serial, or on one medium, are numbered in the order they came. */
void storage_identify(const struct storage *s, struct storage_disk *d)
{
	struct scsi_name name;
	char place[16];

	snprintf(place, sizeof(place), "%u:%u", d->controller->number, d->lun);
	name = scsi_name_of(d->config.serial, d->disk, place);
	do {
		scsi_identify(d->id, &name);
		name.copy++;
	} while (is_taken(s, d));
}
