import { type ReactNode, useState } from "react";

interface FoldedProps {
	summary: ReactNode;
	/** Whether it is open at first. */
	isOpen?: boolean;
	className?: string;
	children: () => ReactNode;
}

/** Something that is shown when the reader opens it, and not drawn before. */
export function Folded({ summary, isOpen = false, className, children }: FoldedProps) {
	const [isShown, setShown] = useState(isOpen);
	return (
		<details className={className} open={isShown} onToggle={(event) => setShown(event.currentTarget.open)}>
			<summary>{summary}</summary>
			{isShown && children()}
		</details>
	);
}
