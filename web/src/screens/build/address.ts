import { useLocation, useNavigate } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { useDraft } from "./draft";
import { fragmentOf, readFragment } from "./link";
import type { Block } from "./tree";

/** How long the network may stay as it is before the address follows. */
const PAUSE_MILLISECONDS = 200;

interface Unread {
	/** The network, which stays. */
	blocks: readonly Block[];
	problem: string;
}

/**
 * Keeps the network in the address, as far as it fits, and takes over that of a link. Says why a link could not be read, until the network
 * changes.
 */
export function useAddress(): string | null {
	// It is that of the next screen already while that loads.
	const fragment = useLocation({ select: ({ pathname, hash }) => (pathname === "/build" ? hash : null) });
	const navigate = useNavigate();
	const { dataset, blocks } = useDraft();
	const [unread, setUnread] = useState<Unread | null>(null);
	// The fragment that stands for the network as it is. Another one is a link that somebody opens.
	const own = useRef("");
	// The blocks that the address does not follow: those before a link is read, or in place of one that cannot be.
	const kept = useRef<readonly Block[] | null>(null);
	useEffect(() => {
		if (fragment === null || fragment === own.current) return;
		let isCurrent = true;
		const before = useDraft.getState();
		kept.current = before.blocks;
		readFragment(fragment).then(
			(found) => {
				if (!isCurrent) return;
				own.current = fragment;
				kept.current = null;
				const isOther = JSON.stringify(found) !== JSON.stringify({ dataset: before.dataset, blocks: before.blocks });
				if (found !== null && isOther) before.open(found);
			},
			({ message }: Error) => isCurrent && setUnread({ blocks: before.blocks, problem: message }),
		);
		return () => {
			isCurrent = false;
		};
	}, [fragment]);
	useEffect(() => {
		if (fragment === null) return;
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
	return unread?.blocks === blocks ? unread.problem : null;
}
