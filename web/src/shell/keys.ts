import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { comparison, useMarks } from "../marks";
import { SCREENS } from "./screens";

/** The keys of the page, as the help lists them. */
export const KEYS: readonly (readonly [string, string])[] = [
	["Ctrl K", "find a model or a screen"],
	["/", "go to the filter"],
	["Esc", "leave the filter"],
	["j, k", "next, previous row"],
	["Enter", "open"],
	["Arrows", "walk through a graph, a map or a matrix"],
	["c", "mark the version for comparison, or take its mark away"],
	["c, Enter", "compare, once two are marked"],
	...SCREENS.map(({ letter, purpose }) => [`g ${letter}`, purpose.toLowerCase()] as const),
	["?", "this list"],
];

/** How long the letter after `g` may take. */
const PAUSE_MILLISECONDS = 1_500;

/** Listens to the keys that work on every screen. */
export function useKeys(open: { palette: () => void; help: () => void }) {
	const navigate = useNavigate();
	// The listener stays while screens change: between `g` and its letter, the page may be drawn.
	const opening = useRef(open);
	useEffect(() => {
		opening.current = open;
	}, [open]);
	useEffect(() => {
		let goPressedAt = Number.NEGATIVE_INFINITY;
		let isMarking = false;
		const listen = (event: KeyboardEvent) => {
			if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
				event.preventDefault();
				opening.current.palette();
				return;
			}
			if (event.ctrlKey || event.metaKey || event.altKey) return;
			if (isTyping(event.target)) {
				if (event.key === "Escape") (event.target as HTMLElement).blur();
				return;
			}
			const isSecond = event.timeStamp - goPressedAt < PAUSE_MILLISECONDS;
			goPressedAt = Number.NEGATIVE_INFINITY;
			const wasMarking = isMarking || isMark(event.target);
			isMarking = false;
			const screen = SCREENS.find(({ letter }) => letter === event.key);
			const target = comparison(useMarks.getState().names);
			if (isSecond && screen) {
				void navigate({ to: screen.to });
			} else if (event.key === "g") {
				goPressedAt = event.timeStamp;
			} else if (event.key === "c") {
				isMarking = mark();
			} else if (event.key === "Enter" && wasMarking && target) {
				event.preventDefault();
				void navigate(target);
			} else if (event.key === "?") {
				opening.current.help();
			} else if (event.key === "/") {
				event.preventDefault();
				document.querySelector<HTMLElement>("[data-filter]")?.focus();
			} else if (event.key === "j" || event.key === "k") {
				moveRow(event.key === "j" ? 1 : -1);
			}
		};
		document.addEventListener("keydown", listen);
		return () => document.removeEventListener("keydown", listen);
	}, [navigate]);
}

function isTyping(target: EventTarget | null): boolean {
	return (
		target instanceof HTMLElement &&
		target.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog") !== null
	);
}

function isMark(target: EventTarget | null): boolean {
	return target instanceof HTMLElement && "mark" in target.dataset;
}

/** Marks the version of the current row, or else that of the screen. Says whether there is one. */
function mark(): boolean {
	const row = document.activeElement?.closest("[data-row]");
	const box =
		row?.querySelector<HTMLElement>("[data-mark]") ?? document.querySelector<HTMLElement>(".title [data-mark]");
	box?.click();
	return box !== null;
}

/** Moves the focus to the link of the next or previous row. */
function moveRow(step: 1 | -1) {
	const links = [...document.querySelectorAll<HTMLElement>("[data-row] a")].filter(
		(link) => link.closest("[data-row]")?.querySelector("a") === link,
	);
	const current = document.activeElement?.closest("[data-row]")?.querySelector("a");
	const place = current ? links.indexOf(current) + step : 0;
	links[Math.max(0, place)]?.focus();
}
