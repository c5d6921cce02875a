/* SPDX-License-Identifier: MIT */
/* Identifiers of logical units: UUIDs of version 5, so that equal names give equal identifiers. */
#include <stdio.h>
#include <uuid/uuid.h>

#include "scsi/scsi_impl.h"

/* Of names of disks. Another value would rename the disks of all guests. */
static const uuid_t names = {0x6f, 0x5b, 0x0e, 0x8a, 0x3d, 0x1c, 0x4f, 0x27, 0x9b, 0x54, 0x1e, 0x02,
	0xd7, 0x7c, 0xa9, 0x43};

_Static_assert(sizeof(uuid_t) == SCSI_ID_SIZE, "identifier");

void scsi_identify(uint8_t id[SCSI_ID_SIZE], const struct scsi_name *name)
{
	static const char *const kinds[] = {
		[SCSI_NAME_SERIAL] = "serial",
		[SCSI_NAME_MEDIUM] = "medium",
		[SCSI_NAME_PLACE] = "place",
	};
	char text[SCSI_NAME_MAX + 32];
	int length;

	/* Cutting a name keeps it stable; only names that differ in the rest become equal. */
	length = snprintf(text, sizeof(text), "%s:%u:%.*s", kinds[name->kind], name->copy,
		(int)SCSI_NAME_MAX, name->text);
	uuid_generate_sha1(id, names, text, (size_t)length);
}

struct scsi_name scsi_name_of(const char *serial, const struct disk *disk, const char *place)
{
	const char *identity = disk_identity(disk);

	if (serial && serial[0])
		return (struct scsi_name){.kind = SCSI_NAME_SERIAL, .text = serial};
	if (identity)
		return (struct scsi_name){.kind = SCSI_NAME_MEDIUM, .text = identity};
	return (struct scsi_name){.kind = SCSI_NAME_PLACE, .text = place};
}
