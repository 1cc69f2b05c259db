#!/bin/sh
# A certificate authority for one site, out of nothing but openssl: run it where the keys may be.
#
#   make-certs.sh ca     DIR                   the site's authority: DIR/ca.crt, DIR/ca.key
#   make-certs.sh server DIR NAME_OR_ADDRESS…  the broker: DIR/server.crt, DIR/server.key
#   make-certs.sh robot  DIR ROBOT_ID…         robots: DIR/robots/ROBOT_ID.crt and .key of each
#   make-certs.sh robots DIR PREFIX COUNT      many: PREFIX0001, PREFIX0002 …; FROM=501 begins there
#
# Calling it again renews: new files take the place of the old ones, key and all. The authority is
# never made again, because every robot would have to be visited.
set -eu
umask 077

CA_DAYS=${CA_DAYS:-3650}
SERVER_DAYS=${SERVER_DAYS:-825}
ROBOT_DAYS=${ROBOT_DAYS:-825}

die() { printf 'make-certs: %s\n' "$1" >&2; exit 2; }

new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1" 2>/dev/null; }

# sign OUT SUBJECT DAYS EXTENSIONS: OUT.key and OUT.crt are replaced only when both are there.
sign() {
  new_key "$1.key.new"
  openssl req -new -key "$1.key.new" -subj "$2" -out "$1.csr"
  printf '%s\n' "$4" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" -CAcreateserial \
    -days "$3" -sha256 -extfile "$1.ext" -out "$1.crt.new" 2>/dev/null
  rm -f "$1.csr" "$1.ext"
  mv "$1.key.new" "$1.key"
  mv "$1.crt.new" "$1.crt"
  chmod 644 "$1.crt"
}

robot() {
  case $1 in *[!A-Za-z0-9_-]*|'') die "robot: $1 is not a robot id" ;; esac
  sign "$dir/robots/$1" "/CN=$1" "$ROBOT_DAYS" "basicConstraints=CA:FALSE
extendedKeyUsage=clientAuth"
}

# "10.0.0.7" is an address, everything else a name.
alt_names() {
  for name in "$@"; do
    case $name in
      *[!0-9.]*) printf 'DNS:%s\n' "$name" ;;
      *) printf 'IP:%s\n' "$name" ;;
    esac
  done | paste -sd, -
}

[ $# -ge 2 ] || die 'want: ca DIR | server DIR NAME… | robot DIR ROBOT_ID… | robots DIR PREFIX COUNT'
what=$1
dir=$2
shift 2
case $what in
  ca)
    [ ! -e "$dir/ca.key" ] || die "$dir/ca.key is there already, and is never made again"
    mkdir -p "$dir/robots"
    new_key "$dir/ca.key"
    openssl req -x509 -new -key "$dir/ca.key" -days "$CA_DAYS" -sha256 -subj '/CN=drover site' \
      -addext 'basicConstraints=critical,CA:TRUE,pathlen:0' \
      -addext 'keyUsage=critical,keyCertSign,cRLSign' -out "$dir/ca.crt"
    chmod 644 "$dir/ca.crt"
    ;;
  server)
    [ $# -ge 1 ] || die 'server: want the names or addresses that robots connect to'
    sign "$dir/server" "/CN=$1" "$SERVER_DAYS" "basicConstraints=CA:FALSE
extendedKeyUsage=serverAuth
subjectAltName=$(alt_names "$@")"
    ;;
  robot)
    [ $# -ge 1 ] || die 'robot: want robot ids'
    mkdir -p "$dir/robots"
    for id in "$@"; do robot "$id"; done
    ;;
  robots)
    [ $# -eq 2 ] || die 'robots: want PREFIX COUNT'
    case $2 in *[!0-9]*|''|0) die "robots: $2 is not a number of robots" ;; esac
    mkdir -p "$dir/robots"
    n=${FROM:-1}
    last=$((n + $2 - 1))
    while [ "$n" -le "$last" ]; do
      robot "$(printf '%s%04d' "$1" "$n")"
      n=$((n + 1))
    done
    ;;
  *) die "no such thing to make: $what" ;;
esac
