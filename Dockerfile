# docker build -t synthproxy . && docker run --rm synthproxy
# The same set-up as everywhere: Debian's packages, then `make setup`. amsynth and xvfb are only for plug-ins.
FROM python:3.11-slim-bookworm
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends make git amsynth xvfb && rm -rf /var/lib/apt/lists/*
WORKDIR /synthproxy
COPY . .
RUN make setup
CMD ["make", "eval"]
