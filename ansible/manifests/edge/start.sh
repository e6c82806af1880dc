#!/bin/sh
# Starts nginx with the DNS server and the search domain of the pod, which it does not read by itself.
set -eu

# resolv.conf names the domain of the namespace first; without one a backend's short name is all there is.
awk '
  $1 == "nameserver" { servers = servers " " ($2 ~ /:.*:/ ? "[" $2 "]" : $2) }
  $1 == "search" { domain = "." $2 }
  END {
    printf "resolver%s valid=5s ipv6=off;\nresolver_timeout 5s;\n", servers
    printf "map $host $domain { default \"%s\"; }\n", domain
  }
' "${1:-/etc/resolv.conf}" > /tmp/resolver.conf

exec nginx -g 'daemon off;'
