/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "hv/hvsock_reg.h"
#include "vsp/hvsock/hvsock.h"

static const struct hv_guid ports = HVSOCK_PORT_GUID(0);

void hvsock_port_guid(uint32_t port, struct hv_guid *service)
{
	*service = (struct hv_guid)HVSOCK_PORT_GUID(port);
}

bool hvsock_guid_port(const struct hv_guid *service, uint32_t *port)
{
	if (memcmp(service->b + 4, ports.b + 4, sizeof(ports.b) - 4))
		return false;
	*port = (uint32_t)service->b[0] | (uint32_t)service->b[1] << 8 |
		(uint32_t)service->b[2] << 16 | (uint32_t)service->b[3] << 24;
	return true;
}
