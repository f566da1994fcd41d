#!/bin/sh
# The proxy of compose.yaml. Its state is in /tmp: started anew, all traffic goes to `serving`, whatever a deploy had begun.
set -eu
umask 077
printf 'admin:{PLAIN}%s\n' "$WEB_PASSWORD" >/tmp/htpasswd
cp /etc/roadmap/split.conf /tmp/split.conf
exec nginx -c /etc/roadmap/nginx.conf -g 'daemon off;'
