"""Draw the plot of the serving bench: requests per second by server, from JSON on standard input."""

import json
import sys

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def main(target: str) -> None:
    medians: dict[str, dict[str, float]] = json.load(sys.stdin)
    names = sorted(medians, key=lambda name: medians[name][max(medians[name], key=int)])
    connections = sorted(next(iter(medians.values())), key=int)
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(names) + 1.5), layout="constrained")
    height = 0.8 / len(connections)
    for turn, count in enumerate(connections):
        places = [place + (turn - (len(connections) - 1) / 2) * height for place in range(len(names))]
        values = [medians[name][count] for name in names]
        bars = axes.barh(places, values, height, label=f"{count} connection{'s' if count != '1' else ''}")
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=7)
    axes.set_yticks(range(len(names)), names)
    axes.set_xscale("log")
    axes.set_xlabel("requests per second on one core (logarithmic)")
    axes.margins(x=0.15)
    axes.legend(loc="lower right", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target, dpi=150)


if __name__ == "__main__":
    main(sys.argv[1])
