import { useLocation, useNavigate } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { useDraft } from "./draft";
import { fragmentOf, readFragment } from "./link";
import type { Block } from "./tree";

/** How long the network may stay as it is before the address follows. */
const PAUSE_MILLISECONDS = 200;

interface Opened {
	/** The network as it was left: that of the link, or the one before if the link could not be read. */
	blocks: readonly Block[];
	/** Why the link could not be read. */
	problem: string | null;
}

/**
 * Keeps the network in the address, as far as it fits, and takes over that of a link. Says so until the network changes, if there was
 * another one.
 */
export function useAddress(): Opened | null {
	const fragment = useLocation({ select: ({ hash }) => hash });
	const navigate = useNavigate();
	const { dataset, blocks } = useDraft();
	const [opened, setOpened] = useState<Opened | null>(null);
	// The fragment that stands for the network as it is. Another one is a link that somebody opens.
	const own = useRef("");
	// The blocks that the address does not follow: those before a link is read, or in place of one that cannot be.
	const kept = useRef<readonly Block[] | null>(null);
	useEffect(() => {
		if (fragment === own.current) return;
		let isCurrent = true;
		const before = useDraft.getState();
		kept.current = before.blocks;
		readFragment(fragment).then(
			(found) => {
				if (!isCurrent) return;
				own.current = fragment;
				kept.current = null;
				if (
					found === null ||
					JSON.stringify(found) === JSON.stringify({ dataset: before.dataset, blocks: before.blocks })
				)
					return;
				before.set({ ...found, selected: "0" });
				if (before.blocks.length > 0) setOpened({ blocks: found.blocks, problem: null });
			},
			({ message }: Error) => isCurrent && setOpened({ blocks: before.blocks, problem: message }),
		);
		return () => {
			isCurrent = false;
		};
	}, [fragment]);
	useEffect(() => {
		let isCurrent = true;
		const follow = async () => {
			if (kept.current === blocks) return;
			const next = (await fragmentOf({ dataset, blocks })) ?? "";
			if (!isCurrent || next === fragment) return;
			own.current = next;
			await navigate({ to: "/build", hash: next, replace: true, resetScroll: false });
		};
		const timer = setTimeout(() => void follow(), PAUSE_MILLISECONDS);
		return () => {
			isCurrent = false;
			clearTimeout(timer);
		};
	}, [dataset, blocks, fragment, navigate]);
	return opened?.blocks === blocks ? opened : null;
}
