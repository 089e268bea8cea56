import type { PointerEvent as ReactPointerEvent } from "react";
import { choose, drop, giveUp, pickUp } from "./carry";
import { type Block, join, type Path } from "./tree";

/** How far a pressed pointer moves before it drags. */
const SLACK_PIXELS = 5;

/** How long a finger rests before it drags. One that moves at once scrolls. */
const HOLD_MILLISECONDS = 300;

/** Near the edges of the window, what is dragged scrolls it. */
const EDGE_PIXELS = 70;
const SCROLL_PIXELS = 12;
const SCROLL_MILLISECONDS = 16;

/** Drags a block of the network, or a new one, from where the pointer went down to where it goes up. */
export function drag(event: ReactPointerEvent, block: Block, from: Path | null) {
	if (event.button !== 0 || !event.isPrimary) return;
	event.stopPropagation();
	const isTouch = event.pointerType === "touch";
	let [x, y] = [event.clientX, event.clientY];
	const start = { x, y };
	let isUnderWay = false;
	const over = new AbortController();
	const { signal } = over;
	const begin = () => {
		isUnderWay = true;
		pickUp(block, from);
	};
	const end = () => {
		over.abort();
		clearTimeout(hold);
		clearInterval(scroll);
		if (isUnderWay) giveUp();
	};
	const hold = isTouch ? setTimeout(begin, HOLD_MILLISECONDS) : undefined;
	const scroll = setInterval(() => {
		const step = y < EDGE_PIXELS ? -SCROLL_PIXELS : y > innerHeight - EDGE_PIXELS ? SCROLL_PIXELS : 0;
		if (!isUnderWay || step === 0) return;
		scrollBy(0, step);
		choose(placeAt(x, y));
	}, SCROLL_MILLISECONDS);
	const moveTo = (event: PointerEvent) => {
		// It went up outside the window.
		if (event.buttons === 0) return end();
		[x, y] = [event.clientX, event.clientY];
		const isFar = Math.hypot(x - start.x, y - start.y) > SLACK_PIXELS;
		if (!isUnderWay && isFar) isTouch ? end() : begin();
		if (isUnderWay) choose(placeAt(x, y));
	};
	const letGo = () => {
		if (isUnderWay) drop();
		end();
	};
	const prevent = (event: Event) => isUnderWay && event.preventDefault();
	document.addEventListener("pointermove", moveTo, { signal });
	document.addEventListener("pointerup", letGo, { signal });
	document.addEventListener("pointercancel", end, { signal });
	document.addEventListener("keydown", ({ key }) => key === "Escape" && end(), { signal });
	// A finger that drags neither scrolls nor opens a menu.
	document.addEventListener("touchmove", prevent, { signal, passive: false });
	document.addEventListener("contextmenu", prevent, { signal });
}

/** The place in the innermost list under a point: before the first block whose middle is below it. */
function placeAt(x: number, y: number): Path | null {
	const list = document.elementFromPoint(x, y)?.closest<HTMLElement>("[data-list]");
	if (!list) return null;
	const blocks = [...list.querySelectorAll<HTMLElement>(".box")];
	const own = blocks.filter((block) => block.closest("[data-list]") === list);
	const above = own.filter((block) => {
		const { top, height } = block.getBoundingClientRect();
		return top + height / 2 < y;
	});
	return join(list.dataset.list ?? "", above.length);
}
