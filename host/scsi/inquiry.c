/* SPDX-License-Identifier: MIT */
/* INQUIRY: standard data and vital product data pages, one builder each. */
#include "scsi/scsi_impl.h"

#define PERIPHERAL_DISK   0x00u
#define PERIPHERAL_CDROM  0x05u
#define INQUIRY_REMOVABLE 0x80u
#define PERIPHERAL_ABSENT 0x7Fu /* qualifier 3, type 1Fh: no unit */
#define INQUIRY_EVPD      0x01u
#define INQUIRY_SIZE      96u
#define INQUIRY_SPC3      0x05u
#define INQUIRY_FORMAT    0x02u
#define INQUIRY_CMDQUE    0x02u
#define INQUIRY_STANDARDS 58u /* version descriptors: no version claimed */
#define STANDARD_SAM3     0x0060u
#define STANDARD_SPC3     0x0300u
#define STANDARD_SBC3     0x04C0u

#define VPD_HEADER        4u
#define VPD_BLOCK_PAGES   0xB0u /* pages of disks begin here */
#define DESIGNATOR_HEADER 4u
#define DESIGNATOR_BINARY 1u
#define DESIGNATOR_T10    1u
#define DESIGNATOR_NAA    3u
#define VENDOR_SIZE       8u
#define NAA_SIZE          16u

#define LBP_UNMAP         0x80u
#define LBP_WRITE_SAME_16 0x40u
#define LBP_WRITE_SAME_10 0x20u
#define LBP_READS_ZERO    0x04u
#define LBP_THIN          0x02u
#define ROTATION_NONE     1u /* solid state */

/* The first four letters make Linux use WRITE SAME. */
static const char vendor[VENDOR_SIZE + 1] = "Msft    ";
static const char product[16 + 1] = "Virtual Disk    ";
static const char product_cdrom[16 + 1] = "Virtual DVD-ROM ";
static const char revision[4 + 1] = "1.0 ";

static uint8_t peripheral(const struct scsi_unit *unit)
{
	if (!unit->present)
		return PERIPHERAL_ABSENT;
	return unit->cdrom ? PERIPHERAL_CDROM : PERIPHERAL_DISK;
}

static void put_standards(const struct scsi_unit *unit, uint8_t *to)
{
	put_be16(to, STANDARD_SAM3);
	put_be16(to + 2, STANDARD_SPC3);
	if (!unit->cdrom)
		put_be16(to + 4, STANDARD_SBC3);
}

/* Absent units have no names, except LUN 0. */
static uint32_t build_standard(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	reply[0] = peripheral(unit);
	reply[1] = unit->cdrom ? INQUIRY_REMOVABLE : 0;
	reply[2] = INQUIRY_SPC3;
	reply[3] = INQUIRY_FORMAT;
	reply[4] = INQUIRY_SIZE - 5;
	reply[7] = INQUIRY_CMDQUE;
	if (unit->present || unit->lun == 0) {
		memcpy(reply + 8, vendor, 8);
		memcpy(reply + 16, unit->cdrom ? product_cdrom : product, 16);
		memcpy(reply + 32, revision, 4);
	}
	put_standards(unit, reply + INQUIRY_STANDARDS);
	return INQUIRY_SIZE;
}

/* ---- vital product data -------------------------------------------------- */

static uint32_t vpd_header(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply, uint16_t length)
{
	reply[0] = peripheral(unit);
	reply[1] = cmd->cdb[2];
	put_be16(reply + 2, length);
	return VPD_HEADER + length;
}

/* An empty page, for absent units. */
static uint32_t build_empty_page(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	return vpd_header(unit, cmd, reply, 0);
}

bool scsi_serial_valid(const char *serial)
{
	size_t length = strlen(serial);

	for (size_t i = 0; i < length; i++)
		if (serial[i] <= ' ' || serial[i] > '~')
			return false;
	return length >= 1 && length <= SCSI_SERIAL_MAX;
}

static uint32_t build_serial(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint16_t length = (uint16_t)strnlen(unit->serial, SCSI_SERIAL_MAX);

	memcpy(reply + VPD_HEADER, unit->serial, length);
	return vpd_header(unit, cmd, reply, length);
}

static uint8_t *designator(uint8_t *to, uint8_t type, uint8_t length)
{
	to[0] = DESIGNATOR_BINARY;
	to[1] = type;
	to[3] = length;
	return to + DESIGNATOR_HEADER;
}

/* NAA 6, Microsoft's company id, and 12 bytes of our own. */
static void naa_build(uint8_t *to, const uint8_t *id)
{
	static const uint8_t prefix[] = {0x60, 0x02, 0x24, 0x80};

	memcpy(to, prefix, sizeof(prefix));
	memcpy(to + 4, id, 6);
	memcpy(to + 10, id + SCSI_ID_SIZE - 6, 6);
}

static uint32_t build_identification(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint8_t *at = designator(reply + VPD_HEADER, DESIGNATOR_T10, VENDOR_SIZE + SCSI_ID_SIZE);

	memcpy(at, vendor, VENDOR_SIZE);
	memcpy(at + VENDOR_SIZE, unit->id, SCSI_ID_SIZE);
	at = designator(at + VENDOR_SIZE + SCSI_ID_SIZE, DESIGNATOR_NAA, NAA_SIZE);
	naa_build(at, unit->id);
	at += NAA_SIZE;
	return vpd_header(unit, cmd, reply, (uint16_t)(at - reply - VPD_HEADER));
}

static uint32_t build_block_limits(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	const struct disk_info *info = &unit->info;
	uint32_t granularity = info->physical_block_size / info->block_size;

	if (unit->fence)
		reply[5] = SCSI_COMPARE_WRITE_BLOCKS_MAX;
	put_be16(reply + 6, (uint16_t)granularity);
	put_be32(reply + 8, unit->transfer_bytes_max / info->block_size);
	if (info->discard) {
		put_be32(reply + 20, UINT32_MAX);
		put_be32(reply + 24, SCSI_UNMAP_DESCRIPTORS_MAX);
		put_be32(reply + 28, granularity);
		put_be32(reply + 32, 0x80000000u); /* alignment 0, valid */
	}
	put_be64(reply + 36, SCSI_WRITE_SAME_BYTES_MAX / info->block_size);
	return vpd_header(unit, cmd, reply, 0x3C);
}

static uint32_t build_characteristics(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	put_be16(reply + 4, ROTATION_NONE);
	return vpd_header(unit, cmd, reply, 0x3C);
}

static uint32_t build_provisioning(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	if (unit->info.discard) {
		reply[5] = LBP_UNMAP | LBP_WRITE_SAME_16 | LBP_WRITE_SAME_10 | LBP_READS_ZERO;
		reply[6] = LBP_THIN;
	}
	return vpd_header(unit, cmd, reply, 4);
}

static scsi_build_fn build_supported_pages;

/* Sorted, as page 00 lists them. */
static const struct vpd_page {
	uint8_t page;
	scsi_build_fn *build;
} vpd_pages[] = {
	{0x00, build_supported_pages},
	{0x80, build_serial},
	{0x83, build_identification},
	{0xB0, build_block_limits},
	{0xB1, build_characteristics},
	{0xB2, build_provisioning},
};
#define VPD_PAGE_COUNT (sizeof(vpd_pages) / sizeof(vpd_pages[0]))

static bool page_supported(const struct scsi_unit *unit, const struct vpd_page *page)
{
	if (page->build == build_serial)
		return unit->serial[0];
	return !unit->cdrom || page->page < VPD_BLOCK_PAGES;
}

static uint32_t build_supported_pages(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint16_t count = 0;

	for (uint32_t i = 0; i < VPD_PAGE_COUNT; i++)
		if (page_supported(unit, &vpd_pages[i]))
			reply[VPD_HEADER + count++] = vpd_pages[i].page;
	return vpd_header(unit, cmd, reply, count);
}

static scsi_build_fn *vpd_find(const struct scsi_unit *unit, uint8_t page)
{
	if (!unit->present)
		return build_empty_page;
	for (uint32_t i = 0; i < VPD_PAGE_COUNT; i++)
		if (vpd_pages[i].page == page && page_supported(unit, &vpd_pages[i]))
			return vpd_pages[i].build;
	return NULL;
}

enum scsi_error scsi_decode_inquiry(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	scsi_build_fn *build = build_standard;

	if (cmd->cdb[1] & INQUIRY_EVPD)
		build = vpd_find(unit, cmd->cdb[2]);
	else if (cmd->cdb[2])
		build = NULL;
	if (!build)
		return scsi_cdb_field(cmd, 2);
	return scsi_decode_reply(cmd, in, build, get_be16(cmd->cdb + 3));
}
