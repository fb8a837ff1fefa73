/* SPDX-License-Identifier: Apache-2.0
 *
 * detour_shim: for LD_PRELOAD. Who connects to port P of 127.0.0.1 gets to port WEIR_DETOUR of
 * 127.1.H.L instead, where H and L are the bytes of P. All of 127.0.0.0/8 is this machine, so the
 * detour behind that port sees by the address it was reached at who was wanted. The product knows
 * nothing of it: its ports are still picked by the kernel, and each time it connects again it takes
 * the same way.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Set before main, read only then. */
static struct {
    int (*connect)(int, const struct sockaddr *, socklen_t);
    uint16_t port; /* 0: no detour */
} way;

__attribute__((constructor)) static void begin(void)
{
    const char *port = getenv("WEIR_DETOUR");
    void *found = dlsym(RTLD_NEXT, "connect");

    memcpy(&way.connect, &found, sizeof found); /* C has no cast from object to function pointer */
    way.port = port == NULL ? 0 : (uint16_t)strtoul(port, NULL, 10);
}

/* The header has connect take a union of all addresses, which a definition can't repeat. */
int connect_by_detour(int file, const struct sockaddr *address, socklen_t size) __asm__("connect");

int connect_by_detour(int file, const struct sockaddr *address, socklen_t size)
{
    struct sockaddr_in wanted;

    if (way.port == 0 || size < sizeof wanted || address->sa_family != AF_INET)
        return way.connect(file, address, size);
    memcpy(&wanted, address, sizeof wanted);
    if (wanted.sin_addr.s_addr != htonl(INADDR_LOOPBACK))
        return way.connect(file, address, size);
    wanted.sin_addr.s_addr = htonl(UINT32_C(0x7f010000) | ntohs(wanted.sin_port));
    wanted.sin_port = htons(way.port);
    return way.connect(file, (const struct sockaddr *)&wanted, sizeof wanted);
}
