"""Draws what an ADD and a DEL cost against the number of attachments, as SVG."""

import math

WIDTH, HEIGHT = 780, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 40, 50
COLOURS = {"nftables": "#1a7f37", "iptables-nft": "#0969da", "iptables-legacy": "#bc4c00",
           "kernel's floor": "#6e7781"}
DASHES = {"ADD": "", "DEL": "6 4"}


def draw(found):
    """`found` is what scale.measure() returns."""
    lines = {(store, verb): [(int(size), costs["ours"][verb]["wall"])
                             for size, costs in by_kind["attachments"].items()]
             for store, by_kind in found.items() for verb in ("ADD", "DEL")}
    lines["kernel's floor", "ADD"] = [
        (int(size), costs["floor"]["ADD"]["wall"])
        for size, costs in next(iter(found.values()))["attachments"].items()]
    points = [point for line in lines.values() for point in line]
    sizes = sorted({size for size, _ in points})
    decades = range(math.floor(math.log10(min(cost for _, cost in points))),
                    math.ceil(math.log10(max(cost for _, cost in points))) + 1)

    def at(size, cost):
        across = math.log10(size) / max(1e-9, math.log10(sizes[-1]))
        up = (math.log10(cost) - decades[0]) / max(1, decades[-1] - decades[0])
        return (LEFT + across * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM))

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
             f'<text x="{LEFT}" y="22" font-size="14">One more attachment (bridge with ipMasq, '
             'portmap): milliseconds</text>',
             f'<text x="{LEFT}" y="{HEIGHT - 12}">attachments in place</text>']
    for decade in decades:
        _, y = at(1, 10.0 ** decade)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d0d7de"/>'
                     f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
                     f'{10.0 ** decade:g}</text>')
    for size in sizes:
        x, _ = at(size, 10.0 ** decades[0])
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
                     f'{size:,}</text>')
    for number, ((store, verb), line) in enumerate(lines.items()):
        style = f'stroke="{COLOURS[store]}" stroke-dasharray="{DASHES[verb]}"'
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in line))
        y = TOP + 16 + 20 * number
        x = WIDTH - RIGHT + 16
        parts.append(f'<polyline points="{path}" fill="none" stroke-width="2" {style}/>'
                     f'<path d="M{x} {y}h28" stroke-width="2" {style}/>'
                     f'<text x="{x + 34}" y="{y + 4}">{verb}, {store}</text>')
    return "\n".join([*parts, "</svg>", ""])
