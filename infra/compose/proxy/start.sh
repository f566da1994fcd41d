#!/bin/sh
# The proxy of compose.yaml. Its state is in /tmp: started anew, all traffic goes to `serving`, whatever a deploy had begun.
set -eu
umask 077
printf 'admin:{PLAIN}%s\n' "$WEB_PASSWORD" >/tmp/htpasswd
cp /etc/roadmap/split.conf /etc/roadmap/nginx.conf /tmp/  # a `git checkout` may take the mounted folder away
exec nginx -c /tmp/nginx.conf -g 'daemon off;'
